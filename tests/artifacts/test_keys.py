"""Where a key comes from, and that it goes nowhere else."""

from __future__ import annotations

import copy
import os
import pickle

import pytest

from taolite.artifacts.keys import Key, find_key, find_key_if_given
from taolite.errors import PathError, UsageError


def test_a_key_does_not_show_itself():
    key = Key("swordfish")

    assert [repr(key), str(key), f"{key}", f"{[key]}"] == ["Key(hidden)"] * 3 + ["[Key(hidden)]"]
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("leak", [pickle.dumps, copy.deepcopy])
def test_a_key_is_not_pickled(leak):
    with pytest.raises(TypeError) as caught:
        leak(Key("swordfish"))

    assert str(caught.value) == "a Key is not pickled: it would end up, readable, in a file or a pipe"


def test_the_same_passphrase_is_the_same_key():
    assert Key("tlt_encode") == Key(b"tlt_encode")
    assert Key("tlt_encode") != Key("tlt_encodf")
    assert hash(Key("鍵")) == hash(Key("鍵".encode()))


def test_the_option_comes_before_the_environment_and_that_before_the_prompt():
    environ = {"TAOLITE_KEY": "from_environment"}

    def prompt(_text: str) -> str:
        return "from_prompt"

    assert find_key("given", environ=environ, prompt=prompt) == Key("given")
    assert find_key(None, environ=environ, prompt=prompt) == Key("from_environment")
    assert find_key(None, environ={}, prompt=prompt) == Key("from_prompt")


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_key_file_holds_the_key_and_at_most_one_line_break(tmp_path, ending):
    file = tmp_path / "key"
    file.write_bytes(b" tlt encode" + ending.encode())

    assert find_key(f"@{file}", environ={}) == Key(" tlt encode")


def test_a_key_may_begin_with_an_at_sign():
    assert find_key("@@home", environ={}) == Key("@home")


def test_no_key_at_all_says_how_to_give_one():
    with pytest.raises(UsageError) as caught:
        find_key(None, environ={})

    assert str(caught.value) == ("a key is needed, and none was given; give -k KEY, -k @FILE, or set TAOLITE_KEY")


def test_an_empty_key_is_refused_where_a_file_is_sealed_and_ignored_where_one_is_read():
    with pytest.raises(UsageError) as caught:
        find_key("", environ={"TAOLITE_KEY": "x"})

    assert str(caught.value) == (
        "-k is empty (is the variable behind it set?), and a sealed file needs a key; "
        "give -k KEY, -k @FILE, or set TAOLITE_KEY"
    )
    assert find_key_if_given("", environ={}) is None


def test_a_key_file_that_is_missing_or_empty_is_named(tmp_path):
    (tmp_path / "empty").write_text("\n")

    with pytest.raises(PathError) as missing:
        find_key(f"@{tmp_path}/none", environ={})
    with pytest.raises(UsageError) as empty:
        find_key(f"@{tmp_path}/empty", environ={})

    assert str(missing.value) == (
        f"{tmp_path}/none: the key file of -k @FILE cannot be read (No such file or directory)"
    )
    assert str(empty.value) == f"{tmp_path}/empty: the key file is empty; write the key in it, on one line"


def test_a_key_file_that_has_no_end_is_refused():
    with pytest.raises(UsageError) as caught:
        find_key("@/dev/zero", environ={})

    assert str(caught.value) == (
        "/dev/zero: more than 65536 bytes; a key file holds the key on one line and nothing else"
    )


def test_a_key_comes_through_a_pipe():
    read, write = os.pipe()
    os.write(write, b"tlt_encode\n")
    os.close(write)

    assert find_key(f"@/dev/fd/{read}", environ={}) == Key("tlt_encode")

    os.close(read)

"""Where a key comes from, and that it goes nowhere else."""

from __future__ import annotations

import copy
import os
import pickle
import re

import pytest

from taolite.artifacts.keyfiles import new_key
from taolite.artifacts.keys import Key, find_key, find_key_if_given
from taolite.cli.words import lines
from taolite.errors import PathError, StorageError, UsageError


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


def test_a_new_key_is_one_printable_line_for_its_owner_alone(tmp_path):
    one, two = tmp_path / "a" / "one.key", tmp_path / "two.key"

    new_key(one)
    new_key(two)

    text = one.read_text()
    assert re.fullmatch(r"[0-9A-Za-z]{43}\n", text)
    assert text != two.read_text()
    assert one.stat().st_mode & 0o777 == 0o600
    assert find_key(f"@{one}", environ={}) == Key(text[:-1])


def test_a_key_file_is_never_replaced(tmp_path):
    (tmp_path / "k").write_text("old")

    with pytest.raises(UsageError) as caught:
        new_key(tmp_path / "k")

    assert str(caught.value) == (
        f"{tmp_path}/k: this file exists, and a key that is replaced cannot be had back; choose another name"
    )
    assert (tmp_path / "k").read_text() == "old"


def test_a_key_that_cannot_be_written_leaves_no_file(tmp_path, monkeypatch):
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("taolite.files.os.fsync", full)

    with pytest.raises(StorageError):
        new_key(tmp_path / "k")

    assert list(tmp_path.iterdir()) == []


ODD = {
    b"\xef\xbb\xbfswordfish\n": "begins with a byte order mark, which is not part of the key here; other programs may "
    "count it",
    b"swordfish\r\n": "ends with a Windows line break, which is not part of the key here; other programs may count its "
    "CR",
    b"sword\nfish\n": "has several lines, and all of them are the key; other programs may take the first line alone",
    b" swordfish\n": "the key begins or ends with a space, which is part of the key",
}


@pytest.mark.parametrize("data", ODD)
def test_a_key_file_that_other_programs_read_in_another_way_is_told(tmp_path, data):
    file = tmp_path / "k"
    file.write_bytes(data)
    file.chmod(0o600)
    told = []

    key = find_key(f"@{file}", environ={}, listener=told.append)

    meant = {b"sword\nfish\n": "sword\nfish", b" swordfish\n": " swordfish"}.get(data, "swordfish")
    assert key == Key(meant)
    assert [line for event in told for line in lines(event)] == [(f"{file}: {ODD[data]}", True)]


def test_a_key_file_of_windows_powershell_is_refused(tmp_path):
    (tmp_path / "k").write_bytes("swordfish\n".encode("utf-16"))

    with pytest.raises(UsageError) as caught:
        find_key(f"@{tmp_path}/k", environ={})

    assert str(caught.value) == (
        f"{tmp_path}/k: this key file is text in UTF-16; save it as UTF-8, which every tool reads"
    )


@pytest.mark.parametrize(("mode", "tells"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_key_file_that_others_can_read_is_told_with_the_way_out(tmp_path, mode, tells):
    file = tmp_path / "k"
    file.write_text("swordfish\n")
    file.chmod(mode)
    told = []

    find_key(f"@{file}", environ={}, listener=told.append)

    said = f"{file}: other users can read this key file (mode {mode:o}); run: chmod 600 {file}"
    assert [line.text for event in told for line in lines(event)] == ([said] if tells else [])

"""A signed model: whose it is, and that not one bit of it changed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from taolite.artifacts import Key
from taolite.artifacts.describe import describe_signature
from taolite.artifacts.keyfiles import new_signer
from taolite.artifacts.rekey import reseal
from taolite.artifacts.signing import read_signature, read_signers, sign, verify
from taolite.cli.main import main
from taolite.errors import PathError, SignatureError, UsageError

VECTORS = Path(__file__).parents[1] / "vectors"
SIGNED = VECTORS / "signed"
"""Signed by the first version; they have to verify for ever."""


@pytest.fixture
def private(tmp_path):
    new_signer(tmp_path / "me.key")
    return tmp_path / "me.key"


@pytest.fixture
def public(private):
    return private.with_name("me.key.pub").read_text().strip()


@pytest.fixture
def model(tmp_path, private):
    """A signed model."""
    path = Path(shutil.copy(VECTORS / "v1.tlt", tmp_path / "m.tlt"))
    assert sign(path, private) == tmp_path / "m.tlt.sig"
    return path


def test_a_signed_model_is_its_signers(model, public):
    found = verify(model, [public])

    assert found.signer == public
    assert list(found.files) == ["m.tlt"]


def test_what_the_first_version_signed_verifies():
    (signer,) = read_signers(str(SIGNED / "signer.pub"))

    assert verify(SIGNED / "model.tlt", [signer]).signed_at == "2026-11-30T12:00:00Z"
    assert sorted(verify(SIGNED / "model.engine", [signer]).files) == ["model.engine", "model.engine.json"]


def test_one_changed_bit_anywhere_in_the_model_is_refused(model, public):
    good = model.read_bytes()

    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 1 << (at % 8)
        model.write_bytes(changed)
        with pytest.raises(SignatureError):
            verify(model, [public])
    model.write_bytes(good + b"\0")
    with pytest.raises(SignatureError) as caught:
        verify(model, [public])

    assert str(caught.value) == (
        f"{model}: this file was changed after {public} signed it; restore it, or sign it again"
    )


def test_a_changed_signature_never_says_anything_else(model, public):
    file = model.with_name("m.tlt.sig")
    good, meant = file.read_bytes(), verify(model, [public])

    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 1 << (at % 7)
        file.write_bytes(changed)
        try:
            found = verify(model, [public])
        except SignatureError:
            continue
        assert found == meant  # an unused bit at the end of base64


def test_another_signer_is_refused_by_name(model, public, tmp_path):
    other = new_signer(tmp_path / "other.key").read_text().strip()

    with pytest.raises(SignatureError) as caught:
        verify(model, [other])

    assert str(caught.value) == f"{model}: signed by {public}, and not by {other}"
    assert verify(model, [other, public]).signer == public


def test_a_signature_with_the_name_of_another_signer_is_refused(model, public, tmp_path):
    other = new_signer(tmp_path / "other.key").read_text().strip()
    file = model.with_name("m.tlt.sig")
    file.write_text(file.read_text().replace(public, other))

    with pytest.raises(SignatureError) as caught:
        verify(model, [other])

    assert str(caught.value) == (
        f"{file}: this signature was changed, or {other} did not make it; sign the model again"
    )


def test_a_model_without_a_signature_is_refused(model, public):
    model.with_name("m.tlt.sig").unlink()

    with pytest.raises(SignatureError) as caught:
        verify(model, [public])

    assert str(caught.value) == (
        f"{model}: not signed (m.tlt.sig is missing), and a signature is required; get the model with its .sig, or "
        "sign it: taolite sign"
    )


def test_the_signature_of_another_model_is_refused(model, public, private):
    other = Path(shutil.copy(VECTORS / "v1.etlt", model.with_name("other.etlt")))
    sign(other, private)
    shutil.copy(other.with_name("other.etlt.sig"), model.with_name("m.tlt.sig"))

    with pytest.raises(SignatureError):
        verify(model, [public])


def test_a_signed_model_may_get_another_name(model, public):
    for ending in ("", ".sig"):
        shutil.move(f"{model}{ending}", model.with_name(f"new.tlt{ending}"))

    assert list(verify(model.with_name("new.tlt"), [public]).files) == ["m.tlt"]


def test_an_engine_is_signed_with_the_sidecar_that_says_what_it_was_built_from(tmp_path, private, public):
    engine, sidecar = tmp_path / "m.engine", tmp_path / "m.engine.json"
    engine.write_bytes(b"ftrt" + bytes(100))
    sidecar.write_text("{}")
    sign(engine, private)
    assert sorted(verify(engine, [public]).files) == ["m.engine", "m.engine.json"]

    sidecar.write_text("{ }")
    with pytest.raises(SignatureError) as caught:
        verify(engine, [public])
    assert str(caught.value) == (
        f"{engine}: this file or its sidecar was changed after {public} signed it; restore it, or sign it again"
    )

    sidecar.unlink()
    with pytest.raises(SignatureError):
        verify(engine, [public])


def test_another_key_needs_another_signature(model, public):
    reseal(model, old=Key("tlt_encode"), new=Key("x"))

    with pytest.raises(SignatureError):
        verify(model, [public])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"version": 2}', "[" * 60000, "\0", '{"version": 1, "signer": 3}']
)
def test_a_file_that_is_no_signature_is_refused(model, public, text):
    file = model.with_name("m.tlt.sig")
    file.write_text(text)

    with pytest.raises(SignatureError) as caught:
        verify(model, [public])

    assert str(caught.value).startswith(f"{file}: not a signature of taolite (")


def test_openssl_makes_keys_and_checks_signatures(model, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    key, pub = tmp_path / "o.pem", tmp_path / "o.pub"
    for words in (["genpkey", "-algorithm", "ed25519", "-out", key], ["pkey", "-in", key, "-pubout", "-out", pub]):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    sign(model, key)

    (signer,) = read_signers(str(pub))
    assert verify(model, [signer]).signer == signer


def test_signers_come_as_text_as_files_and_several_at_once(public, private):
    assert read_signers(public) == [public]
    assert read_signers(f"{private}.pub, {public}") == [public, public]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("ed25519:short", UsageError, "ed25519:short: not a signer's public key; it is `ed25519:...`, or the file "
         "NAME.pub with this text"),
        ("{folder}/none", PathError, "{folder}/none: no such file"),
        ("{folder}/me.key", UsageError, "{folder}/me.key: this is a private key, which only signs; give the public "
         "key, NAME.pub"),
    ],
)  # fmt: skip
def test_what_is_no_public_key_is_refused(text, error, said, private):
    with pytest.raises(error) as caught:
        read_signers(text.format(folder=private.parent))

    assert str(caught.value) == said.format(folder=private.parent)


def test_what_is_no_private_key_does_not_sign(model, tmp_path):
    (tmp_path / "k").write_text("swordfish\n")

    with pytest.raises(UsageError) as caught:
        sign(model, tmp_path / "k")

    assert str(caught.value) == (
        f"{tmp_path}/k: not a private key that signs (PEM, Ed25519, without a password); make one: "
        "taolite key new FILE --signing"
    )


def test_the_private_key_is_its_owners_alone_and_neither_file_is_replaced(private, tmp_path):
    assert private.stat().st_mode & 0o777 == 0o600
    for name in ("me.key", "me.key.pub"):
        before = (tmp_path / name).read_bytes()
        if name.endswith(".pub"):
            private.unlink()
        with pytest.raises(UsageError):
            new_signer(private)
        assert (tmp_path / name).read_bytes() == before


def test_the_commands_sign_and_verify(model, private, public, capsys, monkeypatch):
    monkeypatch.delenv("TAOLITE_REQUIRE_SIGNER", raising=False)

    assert main(["sign", str(model), "--signer-key", str(private)]) == 0
    assert main(["verify", str(model), "--signer", public]) == 0
    time = read_signature(model).signed_at
    assert capsys.readouterr().out.splitlines() == [
        f"{model}.sig: signature; keep it beside m.tlt",
        f"{model}: signed by {public} at {time}, and unchanged since",
    ]

    assert main(["verify", str(model)]) == 1
    assert capsys.readouterr().err == "error: whose signature? Give the signer's public key: --signer PUB\n"


def test_show_tells_the_state_of_a_signature(model, public, capsys):
    assert main(["show", str(model)]) == 0
    time = read_signature(model).signed_at
    assert f"  signed      by {public} at {time}" in capsys.readouterr().out.splitlines()

    other = Path(shutil.copy(VECTORS / "v1.etlt", model.with_name("o.etlt")))
    shutil.copy(f"{model}.sig", f"{other}.sig")
    assert main(["show", str(other)]) == 0
    assert f"  signed      by {public} at {time}; the file was changed since" in capsys.readouterr().out.splitlines()

    Path(f"{other}.sig").write_text("{}")
    assert main(["show", str(other), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signature"] == {
        "problem": f"{other}.sig: not a signature of taolite (`version` is missing); sign the model again"
    }
    assert describe_signature(VECTORS / "v1.tlt") is None

"""Where a signer is required, no other model is run, scored or built into an engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.artifacts import Key
from taolite.artifacts.keyfiles import new_signer
from taolite.artifacts.signing import sign
from taolite.cli.main import main
from taolite.errors import PathError, SignatureError
from taolite.stages.exporting.engine import build
from taolite.stages.inference.models import open_model
from taolite.stages.signed import required_signers

VECTORS = Path(__file__).parents[1] / "vectors" / "0.1.0" / "detectnet"
KEY = "tlt_encode"
VARIABLE = "TAOLITE_REQUIRE_SIGNER"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with an export, the keys of its signer, and the keys of another; nobody's settings count."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LAUNCHER_MOUNTS", raising=False)
    monkeypatch.delenv("TAOLITE_KEY", raising=False)
    monkeypatch.setenv(VARIABLE, "")  # put back at the end, whatever the flag did
    monkeypatch.delenv(VARIABLE)
    monkeypatch.chdir(tmp_path)
    shutil.copy(VECTORS / "model.etlt", tmp_path / "model.etlt")
    new_signer(tmp_path / "me.key")
    new_signer(tmp_path / "other.key")
    return tmp_path


def key_of(place: Path, name: str) -> str:
    return (place / f"{name}.key.pub").read_text().strip()


def test_nothing_is_required_unless_it_is_told(place):
    assert required_signers() == []
    open_model(place / "model.etlt", key=Key(KEY)).close()


def test_an_unsigned_a_foreign_and_a_changed_model_are_not_opened_and_no_engine_is_built_of_them(place, monkeypatch):
    model = place / "model.etlt"
    monkeypatch.setenv(VARIABLE, str(place / "me.key.pub"))

    def refused() -> str:
        with pytest.raises(SignatureError) as opened:
            open_model(model, key=Key(KEY))
        with pytest.raises(SignatureError) as built:
            build(model, key=Key(KEY), engine=place / "m.engine")
        assert str(opened.value) == str(built.value)
        assert not (place / "m.engine").exists()
        return str(opened.value)

    assert refused().startswith(f"{model}: not signed (model.etlt.sig is missing), and a signature is required; ")
    sign(model, place / "other.key")
    assert refused() == f"{model}: signed by {key_of(place, 'other')}, and not by {key_of(place, 'me')}"
    sign(model, place / "me.key")
    open_model(model, key=Key(KEY)).close()
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    assert refused() == (
        f"{model}: this file was changed after {key_of(place, 'me')} signed it; restore it, or sign it again"
    )


def test_no_ranges_are_measured_of_an_unsigned_model(place, monkeypatch):
    from taolite.stages.exporting.calibrate import CalibrationOptions, calibrate_model

    monkeypatch.setenv(VARIABLE, key_of(place, "me"))

    with pytest.raises(SignatureError):
        calibrate_model(place / "model.etlt", key=Key(KEY), options=CalibrationOptions(cache=place / "cal.bin"))

    assert not (place / "cal.bin").exists()


def test_the_settings_of_the_workspace_require_a_signer(place):
    envs = [{"variable": VARIABLE, "value": key_of(place, "me")}]
    (place / ".tao_mounts.json").write_text(json.dumps({"Mounts": [], "Envs": envs}))

    assert required_signers() == [key_of(place, "me")]
    with pytest.raises(SignatureError):
        open_model(place / "model.etlt", key=Key(KEY))


def test_a_signer_that_cannot_be_read_lets_nothing_through(place, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(place / "gone.pub"))

    with pytest.raises(PathError):
        open_model(place / "model.etlt", key=Key(KEY))


@pytest.mark.parametrize("command", ["run", "convert"])
def test_a_command_is_told_by_a_flag(command, place, capsys):
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(place / "a.png")
    words = {"run": ["a.png", "--headless", "--quiet"], "convert": ["-e", "m.engine"]}[command]

    assert main([command, "model.etlt", *words, "-k", KEY, "--require-signer", "me.key.pub"]) == 1

    assert capsys.readouterr().err.endswith(
        "error: model.etlt: not signed (model.etlt.sig is missing), and a signature is required; get the model with "
        "its .sig, or sign it: taolite sign\n"
    )


def test_a_signed_model_runs(place, capsys):
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(place / "a.png")
    sign(place / "model.etlt", place / "me.key")

    words = ["a.png", "--headless", "--quiet", "-k", KEY, "--require-signer", key_of(place, "me")]
    assert main(["run", "model.etlt", *words]) == 0

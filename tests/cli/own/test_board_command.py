"""`taolite board` up to the page that it serves."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from taolite.cli.main import main
from taolite.web import serving as web


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """How the page would be served, each time it is; and its address where a browser is opened."""
    calls: list[object] = []

    def serve(app, serving, *, announce) -> None:
        calls.append((serving.host, serving.port))
        announce("http://127.0.0.1:8420/?token=secret")

    monkeypatch.setattr(web, "serve", serve)
    monkeypatch.setattr(webbrowser, "open", lambda address: calls.append("opened") or True)
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    return calls


def test_the_address_is_told_and_the_flags_reach_the_server(tmp_path: Path, shown, capsys):
    assert main(["board", str(tmp_path), "--port", "9000"]) == 0

    assert shown == [("127.0.0.1", 9000)]  # and no browser: this is no terminal
    said = f"{tmp_path}: open this page in a browser; Ctrl-C ends it\n  http://127.0.0.1:8420/?token=secret\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("words", "environ", "opened"),
    [
        ([], {}, True),
        (["--no-browser"], {}, False),
        ([], {"SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"}, False),
        ([], {"DISPLAY": "", "WAYLAND_DISPLAY": ""}, sys.platform != "linux"),
    ],
)
def test_a_browser_is_opened_only_before_a_person_with_a_screen(
    tmp_path: Path, shown, monkeypatch, words, environ, opened
):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    main(["board", str(tmp_path), *words])

    assert ("opened" in shown) == opened


def test_other_machines_are_warned_of(tmp_path: Path, shown, capsys):
    main(["board", str(tmp_path), "--host", "0.0.0.0"])

    assert capsys.readouterr().err.splitlines() == [
        "warning: --host 0.0.0.0: every machine of the network can reach this page; its address is its key",
        "warning: without --ssl-cert and --ssl-key the page is not encrypted",
    ]


def test_a_folder_that_is_missing_is_told(tmp_path: Path, shown, capsys):
    assert main(["board", str(tmp_path / "runs")]) == 1

    said = f"error: {tmp_path / 'runs'}: there is no such folder; name a folder that holds runs\n"
    assert (shown, capsys.readouterr().err) == ([], said)

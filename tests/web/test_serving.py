"""The server as a process: its address, its port, its end."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

pytest.importorskip("uvicorn")

from taolite.errors import UsageError
from taolite.web.serving import Serving, serve

pytestmark = pytest.mark.sockets


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Processes get Ctrl-C also where this one ignores it, as with nohup or & of a shell: they would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`taolite capture` on a free port, and the address it printed."""
    words = [sys.executable, "-m", "taolite", "capture", str(tmp_path / "set"), "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    assert lines[0] == f"{tmp_path}/set: open this page in a browser; Ctrl-C ends it\n"
    yield process, lines[1].strip()
    if process.poll() is None:
        process.kill()
    process.communicate()


def status(address: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_printed_address_opens_the_page_and_ctrl_c_ends_it(started):
    process, address = started
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", address)

    assert status(address) == 200
    assert status(address.partition("?")[0]) == 403
    assert status(address, Host="evil.example") == 403
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out, err) == (0, "", "stopped; everything that was saved is kept\n")


def test_only_this_machine_can_reach_it(started):
    _, address = started
    port = int(re.findall(r":(\d+)", address)[0])
    listening = Path("/proc/net/tcp")
    if not listening.is_file():
        pytest.skip("this system does not list its sockets in /proc")

    rows = [line.split() for line in listening.read_text().splitlines()[1:]]

    assert [row[1] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"] == [f"0100007F:{port:04X}"]


def test_a_port_in_use_is_said_and_the_usual_one_makes_way():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(UsageError) as caught:
            serve(lambda *_: None, Serving(port=port), announce=print)

    assert str(caught.value) == f"--port {port}: another program uses this port; --port 0 takes a free one"


def test_a_port_that_cannot_be_is_said():
    with pytest.raises(UsageError, match=r"^--port 70000: ports end at 65535; --port 0 takes a free one$"):
        serve(lambda *_: None, Serving(port=70000), announce=print)


def test_a_host_that_is_not_here_is_said():
    with pytest.raises(UsageError) as caught:
        serve(lambda *_: None, Serving("192.0.2.7", 0), announce=print)

    assert str(caught.value) == "--host 192.0.2.7: this machine has no such address; give 127.0.0.1 or 0.0.0.0"


def test_https_needs_both_files(tmp_path: Path):
    (tmp_path / "cert.pem").write_text("")

    with pytest.raises(UsageError, match=r"^https needs a certificate and its key; give both files, or none$"):
        serve(lambda *_: None, Serving(certificate=tmp_path / "cert.pem"), announce=print)


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_loopback_is_told_from_the_network(host: str, local: bool):
    assert Serving(host).is_local is local


def test_with_a_certificate_the_page_is_https(tmp_path: Path):
    now = datetime.now(timezone.utc)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(days=1))
    (tmp_path / "cert.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files = ["--ssl-cert", str(tmp_path / "cert.pem"), "--ssl-key", str(tmp_path / "key.pem")]
    words = [sys.executable, "-m", "taolite", "capture", str(tmp_path / "set"), "--port", "0", *files]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        address = process.stdout.readline().strip()
        trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        trusting.check_hostname = False
        with urllib.request.urlopen(address, timeout=10, context=trusting) as answer:
            assert (answer.status, answer.headers["set-cookie"].endswith("; Secure")) == (200, True)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0

    assert address.startswith("https://127.0.0.1:")


def test_a_certificate_that_is_none_is_said(tmp_path: Path):
    path = tmp_path / "cert.pem"
    path.write_text("no certificate")

    with pytest.raises(UsageError, match=r"cert.pem: no certificate with this key \(.*\); give both in PEM form$"):
        serve(lambda *_: None, Serving(port=0, certificate=path, key=path), announce=print)


def test_another_host_is_said(tmp_path: Path):
    words = [sys.executable, "-m", "taolite", "capture", str(tmp_path), "--port", "0", "--host", "0.0.0.0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    process.stdout.readline(), process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)

    assert err.splitlines()[0] == (
        "warning: --host 0.0.0.0: every machine of the network can reach this page; its address is its key"
    )

"""One way to ask a server: redirections, log-in, retries, proxies, bounds; against servers on this machine."""

from __future__ import annotations

import datetime
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from taolite.errors import DataError, PathError, TaoliteError, UsageError
from taolite.formats import http_get
from taolite.formats.http_get import Passing, blocks, get, shown, with_retries
from taolite.formats.ranges import read_range, version_of

pytestmark = pytest.mark.sockets

BODY = bytes(range(256)) * 4


class Server(ThreadingHTTPServer):
    """`answers` gives status, headers and body by path, and any other path BODY. `asked` holds path and headers,
    `clients` the addresses that connected."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.clients: set[tuple[str, int]] = set()
        self.scheme = "http"

    def at(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.server_port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up, or does not trust the certificate, is what some of the tests are about."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked.append((self.path, dict(self.headers)))
        server.clients.add(self.client_address)
        begin, end = map(int, re.findall(r"\d+", self.headers.get("Range", "0-0")))
        part = BODY[begin : end + 1]
        usual = (206, {"Content-Range": f"bytes {begin}-{begin + len(part) - 1}/{len(BODY)}", "ETag": '"1"'}, part)
        queue = server.answers.get(self.path, [])
        status, headers, body = (queue.pop(0) if len(queue) > 1 else queue[0]) if queue else usual
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal of the tests."""


Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    """start(context=None): a server, over TLS with a context."""
    servers: list[tuple[Server, threading.Thread]] = []

    def start(context: ssl.SSLContext | None = None) -> Server:
        server = Server()
        if context is not None:
            server.socket, server.scheme = context.wrap_socket(server.socket, server_side=True), "https"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections, log-in and proxies are those of the test alone."""
    http_get._managers.clear()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("NETRC", "TAOLITE_HTTP_TOKENS", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    yield
    http_get._managers.clear()


def message(raises: type[TaoliteError], url: str) -> str:
    with pytest.raises(raises) as caught:
        read_range(url, 0, 8, pause=lambda _: None)
    return str(caught.value)


def write_netrc(path: Path, host: str) -> None:
    path.write_text(f"machine {host} login me password secret\ndefault login any password everywhere\n")
    path.chmod(0o600)


BASIC = "Basic bWU6c2VjcmV0"  # base64 of me:secret


def test_bytes_come_over_one_connection_for_many_requests(start: Start):
    server = start()

    assert b"".join(read_range(server.at("/a"), at, 64) for at in range(0, 1024, 64)) == BODY
    assert version_of(server.at("/a")) == (1024, '"1"')
    assert len(server.clients) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_followed_with_the_same_range(start: Start, status: int):
    server, other = start(), start()
    server.answers["/a?x=1"] = [(status, {"Location": "b/c#part"}, b"moved")]
    server.answers["/b/c"] = [(status, {"Location": other.at("/d")}, b"")]

    assert read_range(server.at("/a?x=1"), 3, 5) == BODY[3:8]
    assert [path for path, _ in server.asked] == ["/a?x=1", "/b/c"]
    assert [(path, headers["Range"]) for path, headers in other.asked] == [("/d", "bytes=3-7")]


def test_redirections_end(start: Start):
    server = start()
    server.answers["/a"] = [(302, {"Location": "/a"}, b"")]
    server.answers["/file"] = [(302, {"Location": "file:///etc/hosts"}, b"")]

    url = server.at("/a")
    assert message(PathError, url) == f"{url}: more than 5 redirections; use the address of the file itself"
    assert len(server.asked) == 6
    url = server.at("/file")
    assert message(PathError, url) == (
        f"{url} (redirected to file:///etc/hosts): this is no address; http://HOST[:PORT]/PATH or https://... is needed"
    )


def test_a_password_of_netrc_goes_to_its_host_alone(start: Start, tmp_path: Path):
    server, other = start(), start()
    write_netrc(tmp_path / ".netrc", "127.0.0.1")
    server.answers["/a"] = [(302, {"Location": other.at("/b", "localhost")}, b"")]

    assert read_range(server.at("/a"), 0, 4) == BODY[:4]
    assert server.asked[0][1]["Authorization"] == BASIC
    assert "Authorization" not in other.asked[0][1]  # `default` is for no host


def test_netrc_is_where_the_variable_says_and_is_read_again_when_it_changes(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server, path = start(), tmp_path / "elsewhere"
    monkeypatch.setenv("NETRC", str(path))
    read_range(server.at("/a"), 0, 4)
    write_netrc(path, "127.0.0.1")
    read_range(server.at("/a"), 0, 4)

    assert [headers.get("Authorization") for _, headers in server.asked] == [None, BASIC]


def test_a_token_goes_to_its_host_and_over_http_only_where_that_is_said(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server, other = start(), start()
    write_netrc(tmp_path / ".netrc", "127.0.0.1")
    port, others = server.server_port, other.server_port
    monkeypatch.setenv("TAOLITE_HTTP_TOKENS", f"http://127.0.0.1:{port}=a.b_c== 127.0.0.1:{others}=secure")
    server.answers["/a"] = [(307, {"Location": other.at("/b")}, b"")]

    read_range(server.at("/a"), 0, 4)

    assert server.asked[0][1]["Authorization"] == "Bearer a.b_c=="
    assert other.asked[0][1]["Authorization"] == BASIC  # its token is for https


@pytest.mark.parametrize(
    "tokens", ["abc", "host=", "=abc", "ftp://host=abc", "host:x=abc", "host/path=abc", "u@host=a"]
)
def test_tokens_of_another_form_are_told_without_the_secret(monkeypatch: pytest.MonkeyPatch, tokens: str):
    monkeypatch.setenv("TAOLITE_HTTP_TOKENS", f"good=1 {tokens}")

    assert message(UsageError, "http://127.0.0.1:9/a") == (
        "TAOLITE_HTTP_TOKENS: entry 2 is not HOST=TOKEN, HOST:PORT=TOKEN or http://HOST=TOKEN; correct it"
    )


def test_a_netrc_that_others_may_read_or_nobody_can_is_told(tmp_path: Path):
    path = tmp_path / ".netrc"
    write_netrc(path, "127.0.0.1")
    path.chmod(0o644)
    readable = message(UsageError, "http://127.0.0.1:9/a")
    path.write_text("machine 127.0.0.1\nlogin me pasword secret\n")
    path.chmod(0o600)
    broken = message(UsageError, "http://127.0.0.1:9/a")

    assert readable == f"{path}: others may read the password of 127.0.0.1; run chmod 600 {path}"
    needed = "needed is `machine HOST login NAME password PASSWORD`"
    assert broken == f"{path}:2: this line cannot be read; {needed}"


def test_what_a_server_refuses_is_told_once_with_the_way_out(start: Start):
    server = start()
    for status in (400, 401, 403, 404, 407):
        server.answers[f"/{status}"] = [(status, {}, b"")]
    log_in = (
        "correct the address, or log in with a line in ~/.netrc (machine 127.0.0.1 login NAME password PASSWORD) or "
        "with TAOLITE_HTTP_TOKENS=127.0.0.1=TOKEN"
    )
    ways = {
        400: "correct the address",
        401: log_in,
        403: log_in,
        404: "correct the address",
        407: "give name and password of the proxy, as in http_proxy=http://NAME:PASSWORD@HOST:PORT",
    }
    for status, way_out in ways.items():
        url = server.at(f"/{status}")
        assert message(PathError, url) == f"{url}: the server says HTTP {status}; {way_out}"
    assert len(server.asked) == len(ways)


def test_secrets_of_an_address_are_not_repeated(start: Start):
    server = start()
    server.answers["/a?sig=hidden"] = [(404, {}, b"")]

    assert message(PathError, "http://me:secret@host/a?sig=hidden") == (
        "http://host/a?***: this address holds a name or password, which would be written to logs and specs; put them "
        "into ~/.netrc: machine host login NAME password PASSWORD"
    )
    assert message(PathError, server.at("/a?sig=hidden")) == (
        f"{server.at('/a')}?***: the server says HTTP 404; correct the address"
    )
    assert shown("/data/a?b@c.tar") == "/data/a?b@c.tar"


@pytest.mark.parametrize("url", ["http://", "http:///a", "http://host:port/a", "https://[::1/a", "http://host:0/a"])
def test_what_is_no_address_is_told(url: str):
    assert message(PathError, url) == f"{url}: this is no address; http://HOST[:PORT]/PATH or https://... is needed"


def test_a_server_says_how_long_to_wait_within_bounds(start: Start):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=60)
    server, waited = start(), []
    says = ("7", format_datetime(soon, usegmt=True), "99999999", "soon")
    server.answers["/a"] = [(503, {"Retry-After": text}, b"") for text in says]
    server.answers["/a"].append((206, {"Content-Range": "bytes 0-3/1024"}, BODY[:4]))

    assert read_range(server.at("/a"), 0, 4, pause=waited.append) == BODY[:4]
    assert (waited[0], *waited[2:]) == (7, 120, 4)
    assert 50 < waited[1] <= 60


def test_waits_grow_to_thirty_seconds_and_the_last_fault_is_raised():
    waited: list[float] = []

    def fails() -> None:
        raise Passing(f"fault {len(waited)}")

    with pytest.raises(Passing, match="fault 40"):
        with_retries(fails, retries=40, pause=waited.append)
    assert waited == [*range(1, 31), *[30] * 10]


def test_an_answer_that_is_cut_off_or_of_another_part_is_not_taken(start: Start):
    server = start()
    server.answers["/cut"] = [
        (206, {"Content-Range": "bytes 0-7/1024", "Content-Length": "8", "Connection": "close"}, b"abc")
    ]
    server.answers["/other"] = [(206, {"Content-Range": "bytes 4-11/1024"}, BODY[:8])]
    server.answers["/long"] = [(206, {"Content-Range": "bytes 0-99/1024"}, BODY[:100])]

    assert message(DataError, server.at("/cut")) == (
        f"{server.at('/cut')}: could not be read in 5 attempts: 3 of 8 bytes came; see to the server and start the run "
        "again"
    )
    assert message(DataError, server.at("/other")) == (
        f"{server.at('/other')}: the server sends another part than was asked for; use another server"
    )
    assert read_range(server.at("/long"), 0, 8) == BODY[:8]


def test_a_transfer_that_crawls_counts_as_broken(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_get, "_TIMEOUT_S", 0.05)
    monkeypatch.setattr(http_get, "_SLOWEST", 1 << 20)

    class Crawling:
        def read1(self, size: int, *, decode_content: bool) -> bytes:
            time.sleep(0.03)
            return b"x"

    with pytest.raises(Passing, match="slower than 1024 KiB/s"):
        list(blocks(Crawling(), 1000))  # type: ignore[arg-type]


def test_a_server_that_says_nothing_is_given_up(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_get, "_TIMEOUT_S", 0.1)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        text = message(DataError, url)

    assert re.fullmatch(rf"{url}: could not be read in 5 attempts: .*timed out.*; see to the server and start.*", text)


def test_requests_go_through_the_proxy_of_the_environment_but_for_no_proxy(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    proxy, server = start(), start()
    monkeypatch.setenv("http_proxy", f"http://me:se%40cret@127.0.0.1:{proxy.server_port}")

    assert read_range("http://data.example/a?b=1", 2, 4) == BODY[2:6]
    path, headers = proxy.asked[0]
    assert (path, headers["Host"]) == ("http://data.example/a?b=1", "data.example")
    assert headers["proxy-authorization"] == "Basic bWU6c2VAY3JldA=="  # me:se@cret
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert read_range(server.at("/a"), 0, 4) == BODY[:4]
    assert "proxy-authorization" not in server.asked[0][1]
    assert len(proxy.asked) == 1


def test_a_proxy_that_cannot_be_used_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("all_proxy", "socks5://me:secret@host:1080")

    assert message(UsageError, "http://data.example/a") == (
        "socks5://host:1080: this proxy of the environment cannot be used; http://HOST:PORT is needed, or unset "
        "http_proxy, https_proxy and all_proxy"
    )


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS with a certificate for `localhost` that it signed itself, and that certificate's file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "me")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context, pem


def test_certificates_are_checked_and_one_of_your_own_can_be_named(
    start: Start, certificate: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
):
    server = start(certificate[0])
    url = server.at("/a", "localhost")
    text = message(PathError, url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    http_get._managers.clear()

    assert re.fullmatch(
        rf"{url}: no secure connection to localhost:{server.server_port} \(.*self[- ]signed certificate.*\); for a "
        r"certificate of your own, set SSL_CERT_FILE to the file of the authority that signed it",
        text,
    )
    assert read_range(url, 0, 4) == BODY[:4]


def test_a_redirection_from_https_to_http_is_refused(
    start: Start, certificate: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    secure, plain = start(certificate[0]), start()
    secure.answers["/a"] = [(302, {"Location": plain.at("/b?sig=hidden")}, b"")]
    url = secure.at("/a", "localhost")

    assert message(PathError, url) == (
        f"{url}: redirected from https to {plain.at('/b')}?***, which is not secure; use another address"
    )
    assert plain.asked == []


def test_get_gives_a_whole_file(start: Start):
    server = start()
    server.answers["/a"] = [(200, {}, BODY)]

    with get(server.at("/a"), {}) as response:
        assert b"".join(blocks(response, 1 << 20)) == BODY

"""The server answers the person who started it, and nobody else."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from taolite.web.guard import Guard, new_token

TOKEN = "the-token"


async def told(request):
    return PlainTextResponse("secret")


def client(**options) -> TestClient:
    routes = [Route(path, told, methods=["GET", "POST"]) for path in ("/", "/api/state", "/static/a.css")]
    guarded = Guard(Starlette(routes=routes), token=TOKEN, port=8420, **options)
    return TestClient(guarded, base_url="http://127.0.0.1:8420")


@pytest.fixture
def known() -> TestClient:
    made = client()
    assert made.get("/", params={"token": TOKEN}).text == "secret"
    return made


def test_a_page_without_the_token_says_what_to_do():
    answer = client().get("/")

    assert answer.status_code == 403
    assert "The page opens with the whole address that taolite printed in the terminal" in answer.text
    assert "secret" not in answer.text


@pytest.mark.parametrize("token", ["", "the-toke", "the-token2", "thé-token"])
def test_a_wrong_token_opens_nothing_and_leaves_no_cookie(token):
    answer = client().get("/", params={"token": token})

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_the_token_becomes_a_cookie_that_scripts_cannot_read(known):
    cookie = client().get("/", params={"token": TOKEN}).headers["set-cookie"]

    assert cookie == "taolite-8420=the-token; Path=/; HttpOnly; SameSite=Strict"
    assert known.get("/api/state").text == "secret"


def test_the_token_opens_only_the_page_itself():
    assert client().get("/api/state", params={"token": TOKEN}).status_code == 403


def test_a_program_gives_the_token_in_a_header():
    assert client().get("/api/state", headers={"Authorization": f"Bearer {TOKEN}"}).text == "secret"
    assert client().get("/api/state", headers={"Authorization": "Bearer other"}).status_code == 403


def test_a_damaged_cookie_is_no_token():
    answer = client().get("/api/state", headers={"Cookie": 'taolite-8420="; a[]=1; \x07'})

    assert answer.status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8420", "localhost.evil.example", "", "localhost:8420@evil.example"]
)
def test_a_foreign_name_for_this_machine_is_refused(known, host):
    answer = known.get("/api/state", headers={"Host": host})

    assert answer.status_code == 403
    assert "secret" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1:8420", "[::1]:8420", "192.168.1.7"])
def test_addresses_and_localhost_are_this_machine_whatever_the_port_is(host):
    answer = client().get("/api/state", headers={"Host": host, "Authorization": f"Bearer {TOKEN}"})

    assert answer.text == "secret"


def test_the_host_that_was_asked_for_is_a_name_of_the_server():
    headers = {"Host": "jetson.lan:8420", "Authorization": f"Bearer {TOKEN}"}

    assert client().get("/api/state", headers=headers).status_code == 403
    assert client(hosts=("Jetson.lan",)).get("/api/state", headers=headers).text == "secret"


@pytest.mark.parametrize(
    "headers", [{}, {"X-Taolite": "1", "Origin": "http://evil.example"}, {"X-Taolite": "1", "Origin": "null"}]
)
def test_a_change_that_another_site_asked_for_is_refused(known, headers):
    assert known.post("/api/state", headers=headers).status_code == 403


@pytest.mark.parametrize("headers", [{"X-Taolite": "1"}, {"X-Taolite": "1", "Origin": "http://127.0.0.1:8420"}])
def test_a_change_that_the_page_asked_for_is_made(known, headers):
    assert known.post("/api/state", headers=headers).text == "secret"


def test_every_answer_forbids_foreign_content_and_foreign_readers(known):
    for answer in (known.get("/"), client().get("/"), known.get("/static/a.css")):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_files_of_the_page_need_no_token_so_that_the_refusal_can_be_read():
    assert client().get("/static/a.css").status_code == 200


def test_each_start_has_a_token_of_its_own():
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) == 32

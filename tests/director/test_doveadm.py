"""Questions to the doveadm HTTP API: what is asked, and what is made of the answers."""

import base64
import ssl
from collections.abc import Awaitable
from pathlib import Path

import pytest

from director import doveadm
from director.doveadm import Auth, Doveadm, NoAnswer, Url, url
from tests.director.doveadm_api import Api

BODY = b'[["doveadmResponse",[],""]]'


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("pass word\n")
    return path


def ask(api: Api, secret: Path, auth: Auth = "password") -> Awaitable[bytes]:
    return Doveadm(api.url, secret, auth).ask("127.0.0.1", "who", {"mask": ["ann"]})


def test_the_host_goes_into_the_url() -> None:
    assert url("http://{host}:8080/doveadm/v1", "mb1") == Url(False, "mb1", 8080, "mb1:8080", "/doveadm/v1")
    assert url("https://{host}", "2001:db8::1") == Url(True, "2001:db8::1", 443, "[2001:db8::1]", "/doveadm/v1")
    assert url("http://{host}", "mb1").port == 80


@pytest.mark.parametrize(
    "pattern",
    ["{host}:8080", "ftp://{host}/", "http://", "http://{host}/?a=b", "http://me@{host}/", "http://{host}:port/"],
)
def test_what_is_no_url_of_the_api_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        url(pattern, "mb1")


async def test_a_question_is_asked_with_the_password(secret: Path) -> None:
    async with Api(who=lambda _: []) as api:
        assert await ask(api, secret) == b'[["doveadmResponse", [], ""]]'
        assert api.asked == [("who", {"mask": ["ann"]})]
        assert api.headers[0] == "POST /doveadm/v1 HTTP/1.1"
        assert f"Host: 127.0.0.1:{api.port}" in api.headers
        assert f"Authorization: Basic {base64.b64encode(b'doveadm:pass word').decode()}" in api.headers


async def test_a_question_is_asked_with_the_key_as_it_is_then(secret: Path) -> None:
    async with Api(who=lambda _: []) as api:
        secret.write_text("new key\n")
        await ask(api, secret, "api_key")
        assert f"Authorization: X-Dovecot-API {base64.b64encode(b'new key').decode()}" in api.headers


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s and more" % (len(BODY), BODY),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n7\r\n"
        + BODY[:7]
        + b"\r\n14; x\r\n"
        + BODY[7:]
        + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
    ],
    ids=["with its length", "in chunks", "until the end"],
)
async def test_answers_come_in_three_forms(secret: Path, reply: bytes) -> None:
    async with Api() as api:
        api.reply = reply
        assert await ask(api, secret) == BODY


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "HTTP status 401"),
        (b"HTTP/1.1 302\r\nLocation: http://elsewhere/\r\n\r\n", "HTTP status 302"),
        (b"SSH-2.0-x 200 hello\r\n", "does not speak HTTP"),
        (b"hello\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 65 + b"\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 " + b"O" * 20000 + b"\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "no answer from"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "more than"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "more than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", "more than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "does not speak HTTP"),
    ],
)
async def test_anything_else_is_no_answer(secret: Path, reply: bytes, text: str) -> None:
    async with Api() as api:
        api.reply = reply
        with pytest.raises(NoAnswer, match=text):
            await ask(api, secret)


async def test_an_endless_answer_is_cut_off(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doveadm, "MAX_ANSWER", 1000)
    async with Api() as api:
        api.reply = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001
        with pytest.raises(NoAnswer, match="more than 1000 bytes"):
            await ask(api, secret)


async def test_nobody_listens(secret: Path) -> None:
    async with Api() as api:
        pass
    with pytest.raises(NoAnswer, match=r"no answer from 127\.0\.0\.1"):
        await ask(api, secret)


async def test_without_its_password_nobody_is_asked(tmp_path: Path) -> None:
    async with Api() as api:
        with pytest.raises(FileNotFoundError):
            await ask(api, tmp_path / "missing")
        assert api.asked == []


async def test_a_server_without_tls_gets_no_password(secret: Path) -> None:
    async with Api() as api:
        encrypted = Doveadm(api.url.replace("http:", "https:"), secret, "password")
        with pytest.raises((NoAnswer, ssl.SSLError)):
            await encrypted.ask("127.0.0.1", "who", {})
        assert api.asked == []

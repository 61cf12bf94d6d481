"""Questions to Dovecot's doveadm HTTP API, one a connection; the little of HTTP/1.1 (RFC 9112) that they need."""

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

Auth: TypeAlias = Literal["password", "api_key"]

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes: the status of 400,000 users."""

_MAX_LINE: Final = 8192
_MAX_HEADERS: Final = 64
_MAX_SECRET: Final = 1024


class NoAnswer(Exception):
    """The server cannot be asked, or says nothing useful; the text is for the log and has no secret in it."""


class Url(NamedTuple):
    """Where the API of a server is."""

    tls: bool
    host: str
    port: int
    netloc: str
    path: str


def url(pattern: str, host: str) -> Url:
    """Put a host into a pattern that has `{host}`. Raises ValueError for what is no URL of the API."""
    parts = urlsplit(pattern.replace("{host}", f"[{host}]" if ":" in host else host))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("is not http://host:port/path or https://host:port/path")
    if "@" in parts.netloc:
        raise ValueError("has a password or user in it; use doveadm_password_file")
    tls = parts.scheme == "https"
    return Url(tls, parts.hostname, parts.port or (443 if tls else 80), parts.netloc, parts.path or "/doveadm/v1")


class Doveadm:
    """Asks any server's API; `pattern` is its URL with `{host}`, `secret_file` is read for each question.

    With https the server's certificate has to be from `ca_file`, or from the system's authorities, and for its host.
    Raises ssl.SSLError or OSError if `ca_file` cannot be used.
    """

    def __init__(self, pattern: str, secret_file: Path, auth: Auth, ca_file: Path | None = None) -> None:
        self._pattern = pattern
        self._secret_file = secret_file
        self._auth = auth
        self._context: ssl.SSLContext | None = None
        if pattern.startswith("https:"):
            self._context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2

    async def ask(self, host: str, command: str, parameters: Mapping[str, object]) -> bytes:
        """Return the JSON that a command answers. Takes as long as the server does.

        Raises NoAnswer, and OSError if the password cannot be read.
        """
        where = url(self._pattern, host)
        request = self._request(where, command, parameters)
        try:
            reader, writer = await asyncio.open_connection(where.host, where.port, ssl=self._context, limit=_MAX_LINE)
            try:
                writer.write(request)
                return await _answer(reader)
            finally:
                writer.transport.abort()
        except (OSError, EOFError) as error:
            raise NoAnswer(f"no answer from {where.netloc}: {error or type(error).__name__}") from None
        except (ValueError, asyncio.LimitOverrunError):
            raise NoAnswer(f"{where.netloc} does not speak HTTP") from None

    def _request(self, where: Url, command: str, parameters: Mapping[str, object]) -> bytes:
        body = json.dumps([[command, parameters, ""]]).encode()
        headers = (
            f"POST {where.path} HTTP/1.1",
            f"Host: {where.netloc}",
            f"Authorization: {self._authorization()}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        # Without "Connection: close": Dovecot 2.3.19 would keep a 401 to itself.
        return "\r\n".join(headers).encode() + b"\r\n\r\n" + body

    def _authorization(self) -> str:
        with self._secret_file.open("rb") as file:
            secret = file.read(_MAX_SECRET).rstrip(b"\r\n")
        if self._auth == "api_key":
            return f"X-Dovecot-API {b64encode(secret).decode()}"
        return f"Basic {b64encode(b'doveadm:' + secret).decode()}"


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """Raises NoAnswer for any status but 200, EOFError, and ValueError for what is not HTTP."""
    version, status, *_ = (await _line(reader)).split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    if status != "200":
        raise NoAnswer(f"the doveadm API answers with HTTP status {status[:3]}")
    headers = await _headers(reader)
    if "chunked" in headers.get("transfer-encoding", ""):
        return await _chunks(reader)
    if length := headers.get("content-length"):
        return await reader.readexactly(_bounded(int(length)))
    return await _rest(reader)


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MAX_HEADERS):
        if not (line := await _line(reader)):
            return headers
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip().lower()
    raise ValueError("too many headers")


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await _line(reader)).partition(";")[0], 16):
        _bounded(len(body) + size)
        body += await reader.readexactly(size)
        await _line(reader)
    return bytes(body)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while part := await reader.read(65536):
        body += part
        _bounded(len(body))
    return bytes(body)


async def _line(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\n")).decode("latin-1").rstrip("\r\n")


def _bounded(length: int) -> int:
    if not 0 <= length <= MAX_ANSWER:
        raise NoAnswer(f"the doveadm API answers with more than {MAX_ANSWER} bytes")
    return length

"""A scripted LDAP server over real sockets, for everything a real one does not do on demand."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ldapmap.client.ber import element, integer, octet_string, wrap
from ldapmap.client.messages import BIND_RESPONSE, EXTENDED_RESPONSE, SEARCH_DONE, SEARCH_ENTRY

BIND, UNBIND, SEARCH, ABANDON, EXTENDED = 0x60, 0x42, 0x63, 0x50, 0x77
ALICE = "uid=alice,dc=x"


@dataclass(frozen=True)
class Request:
    """A message as it arrived. `connection` counts the server's connections from 0."""

    connection: int
    message_id: int
    kind: int
    raw: bytes

    def __contains__(self, part: bytes) -> bool:
        return part in self.raw


class Conversation:
    """One connection, as the script sees it."""

    def __init__(self, number: int, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.writer = writer
        self.server_context: ssl.SSLContext | None = None

    def send(self, *messages: bytes) -> None:
        for message in messages:
            self.writer.write(message)

    def close(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Request, Conversation], Awaitable[None]]


@dataclass
class FakeServer:
    """`script` is called for every request; `requests` is what arrived. `seen` waits until a condition on it holds."""

    script: Script
    requests: list[Request] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)
    url: str = ""
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def of_kind(self, kind: int) -> list[Request]:
        return [request for request in self.requests if request.kind == kind]

    async def seen(self, condition: Callable[[FakeServer], bool]) -> None:
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(len(self.conversations), writer)
        self.conversations.append(conversation)
        await self._notify()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                request = await _read(reader, conversation.number)
                self.requests.append(request)
                await self._notify()
                task = asyncio.ensure_future(self._answer(request, conversation))
                self._tasks.add(task)
                if request.kind == EXTENDED:
                    await task  # nothing is read before TLS has begun
        writer.transport.abort()

    async def _answer(self, request: Request, conversation: Conversation) -> None:
        await self.script(request, conversation)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def stop(self) -> None:
        for conversation in self.conversations:
            conversation.close()
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


@contextlib.asynccontextmanager
async def fake_server(script: Script, *, context: ssl.SSLContext | None = None) -> AsyncIterator[FakeServer]:
    server = FakeServer(script)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"{'ldaps' if context else 'ldap'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listening.close()
        await server.stop()


async def ordinary(request: Request, conversation: Conversation) -> None:
    """One user: alice, with the password "secret"; the service identity may bind with any."""
    if request.kind == SEARCH:
        if b"\x04\x05alice" in request:
            conversation.send(entry(request, ALICE, uid=b"alice", mailHost=b"s1"))
        conversation.send(result(request, SEARCH_DONE, 0))
    elif request.kind == BIND:
        refused = ALICE.encode() in request and b"\x80\x06secret" not in request
        conversation.send(result(request, BIND_RESPONSE, 49 if refused else 0))


def entry(request: Request, dn: str, **values: bytes) -> bytes:
    attributes = [
        wrap(b"\x30", octet_string(name.encode()) + wrap(b"\x31", octet_string(value)))
        for name, value in values.items()
    ]
    content = octet_string(dn.encode()) + wrap(b"\x30", b"".join(attributes))
    return wrap(b"\x30", integer(request.message_id) + wrap(bytes((SEARCH_ENTRY,)), content))


def result(request: Request, kind: int, code: int, diagnostic: str = "", controls: bytes = b"") -> bytes:
    content = integer(code, b"\x0a") + octet_string(b"") + octet_string(diagnostic.encode())
    return wrap(b"\x30", integer(request.message_id) + wrap(bytes((kind,)), content) + controls)


def bind_result(request: Request, code: int, diagnostic: str = "", controls: bytes = b"") -> bytes:
    return result(request, BIND_RESPONSE, code, diagnostic, controls)


def search_done(request: Request, code: int = 0, diagnostic: str = "") -> bytes:
    return result(request, SEARCH_DONE, code, diagnostic)


def extended_result(request: Request, code: int, diagnostic: str = "") -> bytes:
    return result(request, EXTENDED_RESPONSE, code, diagnostic)


def farewell(code: int, diagnostic: str) -> bytes:
    """A notice of disconnection (RFC 4511 section 4.4.1)."""
    return result(Request(0, 0, 0, b""), EXTENDED_RESPONSE, code, diagnostic)


async def _read(reader: asyncio.StreamReader, connection: int) -> Request:
    raw = await reader.readexactly(2)
    if raw[1] > 127:
        raw += await reader.readexactly(raw[1] & 0x7F)
        size = int.from_bytes(raw[2:], "big")
    else:
        size = raw[1]
    start = len(raw)
    raw += await reader.readexactly(size)
    _, begin, end = element(raw, start, len(raw))
    return Request(connection, int.from_bytes(raw[begin:end], "big"), raw[end], raw)

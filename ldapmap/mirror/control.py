"""The mirror's control socket: how it is doing, orders, and every change as it happens.

A client connects to `mirror.sock` in the mirror's directory, which belongs to the owner of the process only, and sends
one line of JSON. `{"ask":"status"}` and `{"ask":"rebuild"}` are answered by one line. `{"ask":"changes","since":N}` is
answered by a line for every change after number N, for as long as the client stays. `{"reset":true,"seq":S}` says that
what was before is not known any more or belongs to another copy: the client looks at everything, and goes on from S.

Nothing is queued for a client. One that reads slowly is sent what the log of changes still has when it gets to it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from ldapmap.errors import Unavailable
from ldapmap.mirror.changes import Change
from ldapmap.mirror.copies import Copies

_NAME = "mirror.sock"
_LONGEST_QUESTION = 4096
_LONGEST_ANSWER = 65_536
"""Bytes of a line."""
_MOST_CLIENTS = 32
_AT_ONCE = 500
"""Changes in one write."""
_PATIENCE = 30.0
"""Seconds for a client's question, and for it to read what it was sent."""
_ANSWER_SECONDS = 5.0
"""For an answer, at the client."""


class Control:
    """Answers clients for as long as the block lasts. The lock on the directory is held before it is entered."""

    def __init__(self, path: Path, copies: Copies) -> None:
        self._path = path / _NAME
        self._copies = copies
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._asked: dict[str, Callable[[], dict[str, Any]]] = {"status": self._status, "rebuild": self._rebuild}

    async def __aenter__(self) -> Control:
        self._server = await asyncio.start_unix_server(
            self._connected, sock=_listening(self._path), limit=_LONGEST_QUESTION
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None  # noqa: S101 (the block was entered)
        self._server.close()
        self._path.unlink(missing_ok=True)
        clients = list(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    # --- one client ---

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= _MOST_CLIENTS:
            writer.write(_line({"error": "too many clients"}))
            writer.close()
            return
        client = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
            writer.close()
        except (OSError, TimeoutError, asyncio.CancelledError):  # nobody reads any more, or nobody may
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await _question(reader)
        ask, since = question.get("ask"), question.get("since", 0)
        if ask == "changes" and type(since) is int:
            await self._stream(reader, writer, since)
            raise ConnectionResetError
        answer = self._asked.get(str(ask))
        await _send(writer, [{"error": "not a question"} if answer is None else answer()])

    def _status(self) -> dict[str, Any]:
        return self._copies.status().as_json()

    def _rebuild(self) -> dict[str, Any]:
        self._copies.rebuild_ordered.set()
        return {"ordered": True}

    # --- changes ---

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, since: int) -> None:
        """Until the client goes or says anything more."""
        gone = asyncio.get_running_loop().create_task(reader.read(1))
        try:
            while not gone.done():
                changed = self._copies.changed
                lines, since = self._news(since)
                if lines:
                    await _send(writer, lines)
                else:
                    await _either(changed, gone)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    def _news(self, since: int) -> tuple[list[dict[str, Any]], int]:
        """What to tell somebody who knows everything up to `since`, and what he knows then."""
        changes = self._copies.changes_since(since, _AT_ONCE)
        if changes is None:
            now = self._copies.sequence
            return ([{"reset": True, "seq": now}], now) if now != since else ([], since)
        return [_told(change) for change in changes], changes[-1].sequence if changes else since


# --- clients ---


def ask(path: Path, question: str) -> dict[str, Any]:
    """The answer of the process that keeps the mirror in `path`: `question` is "status" or "rebuild".

    Blocks for at most 5 seconds. Raises Unavailable when there is no such process or no answer.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(str(path / _NAME))
            connection.sendall(_line({"ask": question}))
            with connection.makefile("rb") as answer:
                return _read(answer.readline(_LONGEST_ANSWER))
    except OSError as error:
        raise Unavailable(f"{path}: no mirror answers: {error}") from error


async def changes(path: Path, since: int) -> AsyncGenerator[dict[str, Any], None]:
    """Everything that happens after change number `since`, as it happens (see the module); 0: from now on, by a reset.

    Raises Unavailable when the process is not there or goes away: ask again later, with the last `seq`.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path / _NAME, limit=_LONGEST_ANSWER)
    except OSError as error:
        raise Unavailable(f"{path}: no mirror answers: {error}") from error
    try:
        writer.write(_line({"ask": "changes", "since": since}))
        while True:
            yield _read(await _next_line(reader))
    finally:
        writer.close()


# --- details ---


def _listening(path: Path) -> socket.socket:
    """A socket that only the owner may connect to, at every moment."""
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listening.bind(str(path))
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(mask)
    return listening


async def _question(reader: asyncio.StreamReader) -> dict[str, Any]:
    async with asyncio.timeout(_PATIENCE):
        try:
            question = json.loads(await reader.readuntil())
        except (ValueError, RecursionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return {}
    return question if isinstance(question, dict) else {}


async def _send(writer: asyncio.StreamWriter, lines: list[dict[str, Any]]) -> None:
    writer.write(b"".join(map(_line, lines)))
    async with asyncio.timeout(_PATIENCE):
        await writer.drain()


async def _either(changed: asyncio.Event, gone: asyncio.Task[bytes]) -> None:
    """Wait until something has changed or the client has gone."""
    change = asyncio.get_running_loop().create_task(changed.wait())
    try:
        await asyncio.wait((change, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        change.cancel()
        await asyncio.gather(change, return_exceptions=True)


async def _next_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except (OSError, ValueError) as error:
        raise Unavailable(f"the mirror's process: {error}") from error


def _told(change: Change) -> dict[str, Any]:
    if change.shard_entry:
        return {"seq": change.sequence, "shard_entry": change.shard_entry}
    told = change._asdict()
    del told["shard_entry"]
    return {"seq": told.pop("sequence"), **told}


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _read(line: bytes) -> dict[str, Any]:
    """Raises Unavailable for anything but a whole line with an answer."""
    try:
        answer = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "error" in answer:
        raise Unavailable(f"the mirror's process {'has gone' if answer is None else 'refuses to answer'}")
    return answer

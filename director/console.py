"""The director's socket for operators: a line of JSON with a question, and its answer in lines of JSON.

An answer is {"ok": true, …} or {"ok": false, "error": TEXT}. A listing has its rows by the thousand, each time as
{"ok": true, "rows": […], "more": true}; the last one says "more": false. What may be asked is in `director/desk.py`.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator, Mapping
from itertools import islice
from types import TracebackType
from typing import Any, Final

from msgspec import DecodeError
from msgspec.json import Decoder, Encoder

from director.desk import Answer, Desk, Refused, Row
from director.service import Service

LONGEST_QUESTION: Final = 64 * 1024
"""Bytes of a line."""

MOST_CLIENTS: Final = 32
"""Connections at the same time; more are told so and closed."""

PATIENCE: Final = 30.0
"""Seconds for a question to come, for its answer to be found, and for each piece of it to be read."""

_ROWS_AT_ONCE: Final = 1000
_GLANCE: Final = 0.02
"""Seconds between two looks at whether something is known by now."""

_decoder: Final = Decoder(dict[str, Any])
_encoder: Final = Encoder()
_logger = logging.getLogger("vestibule.director")


class Console:
    """Answers at a listening socket, for as long as the block lasts."""

    def __init__(self, service: Service, desk: Desk, listening: socket.socket) -> None:
        self._service = service
        self._desk = desk
        self._listening = listening
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Console":
        self._server = await asyncio.start_unix_server(self._connected, sock=self._listening, limit=LONGEST_QUESTION)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_accepting()
        clients = tuple(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    def stop_accepting(self) -> None:
        """Take no more connections; those that are there stay."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    # One client.

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MOST_CLIENTS:
            writer.write(_refusal("too many are asking at the same time"))
            writer.close()
            return
        client = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the client goes, or takes too long."""
        try:
            while line := await _line(reader):
                await self._respond(line, writer)
            writer.close()
        except (OSError, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()
        except asyncio.LimitOverrunError:
            writer.write(_refusal(f"the question is longer than {LONGEST_QUESTION} bytes"))
            writer.close()
        except Exception:
            _logger.exception("an answer cannot be given")
            writer.transport.abort()

    async def _respond(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            question = _question(line)
            async with asyncio.timeout(PATIENCE):
                answer = await self._answer(question)
        except Refused as refused:
            await _send(writer, _refusal(str(refused)))
        except TimeoutError:
            await _send(writer, _refusal("it takes too long to find that out; what was ordered goes on"))
        except Exception:
            _logger.exception("a question cannot be answered")
            await _send(writer, _refusal("an error of ours, which the log has"))
        else:
            await _write(writer, answer)

    async def _answer(self, question: Mapping[str, Any]) -> Answer:
        """The desk's, with what only the store and the service know."""
        user = question.get("user")
        value = await self._service.look_up(user) if isinstance(user, str) and user else None
        extra = {"store": self._service.store_state._asdict()} if question.get("ask") == "status" else None
        answer, actions = self._desk.answer(question, self._service.now(), value=value, extra=extra)
        self._service.perform(actions)
        if isinstance(answer, Mapping) and "pending" in answer:
            return await self._outcome(answer["pending"])
        return answer

    async def _outcome(self, job: str) -> Row:
        while (outcome := self._desk.outcome(job)) is None:  # noqa: ASYNC110  (nobody says when)
            await asyncio.sleep(_GLANCE)
        return outcome


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next question; b"" when there is none."""
    async with asyncio.timeout(PATIENCE):
        try:
            return await reader.readuntil()
        except asyncio.IncompleteReadError:
            return b""


def _question(line: bytes) -> Mapping[str, Any]:
    """Raises Refused."""
    try:
        return _decoder.decode(line)
    except (DecodeError, RecursionError):
        raise Refused("a question is one line with one JSON object") from None


def _refusal(why: str) -> bytes:
    return _encoder.encode({"ok": False, "error": why}) + b"\n"


async def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    if isinstance(answer, Mapping):
        await _send(writer, _encoder.encode({"ok": True, **answer}) + b"\n")
        return
    for rows, more in _in_pieces(answer):
        await _send(writer, _encoder.encode({"ok": True, "rows": rows, "more": more}) + b"\n")
        await asyncio.sleep(0)  # sessions have their turn between two pieces


def _in_pieces(rows: Iterator[Row]) -> Iterator[tuple[list[Row], bool]]:
    """The rows, some at a time, and whether there are more; once at least."""
    piece = list(islice(rows, _ROWS_AT_ONCE))
    more = True
    while more:
        following = list(islice(rows, _ROWS_AT_ONCE))
        more = bool(following)
        yield piece, more
        piece = following


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    async with asyncio.timeout(PATIENCE):
        await writer.drain()

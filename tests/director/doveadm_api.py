"""A doveadm HTTP API that is none: it answers each command as the test says, and remembers what it was asked."""

import asyncio
import json
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

Answers = dict[str, Callable[[dict[str, Any]], Any]]
"""For each command, what makes its rows from its parameters."""


class Api:
    """Listens within the block; `url` is its pattern. `reply` may be replaced by a whole HTTP answer.

    `asked` has (command, parameters) of each question, `headers` the request line and headers of the last one.
    """

    def __init__(self, **answers: Callable[[dict[str, Any]], Any]) -> None:
        self.answers: Answers = answers
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.headers: list[str] = []
        self.reply: bytes | None = None
        self.silent = False

    async def __aenter__(self) -> "Api":
        self._connections: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{{host}}:{self.port}/doveadm/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        if (start := await reader.readexactly(4)) != b"POST":
            writer.close()
            return
        head = (start + await reader.readuntil(b"\r\n\r\n")).decode()
        self.headers = head.strip().split("\r\n")
        length = next(int(line.split()[1]) for line in self.headers if line.startswith("Content-Length"))
        ((command, parameters, tag),) = json.loads(await reader.readexactly(length))
        self.asked.append((command, parameters))
        if not self.silent:
            writer.write(self.reply or _ok(json.dumps([self._answer(command, parameters, tag)]).encode()))
            writer.close()

    def _answer(self, command: str, parameters: dict[str, Any], tag: str) -> list[Any]:
        if command not in self.answers:
            return ["error", {"type": "unknownMethod", "exitCode": 0}, tag]
        return ["doveadmResponse", self.answers[command](parameters), tag]


def _ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

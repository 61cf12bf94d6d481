"""A process of a simulated site: `python -m loadtest.simulated.serving`, with orders on its standard input.

It lives as long as its standard input is open, so it never outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from contextlib import AsyncExitStack
from typing import cast

import msgspec
import uvloop

from loadtest import descriptors
from loadtest.backends import BACKLOG, Backend
from loadtest.content import first_recipes
from loadtest.mailbox import Mailboxes
from loadtest.simulated.directory import directory_of
from loadtest.simulated.messages import (
    Answer,
    Done,
    Failed,
    Kill,
    News,
    Order,
    Presence,
    Ready,
    Revive,
    Tell,
    Wanted,
    Work,
    encode,
    read_order,
)
from loadtest.simulated.pushes import Pushes

BATCH = 0.05
"""Seconds that news may wait for more news."""

MAX_MAILBOXES = 1_000_000
"""Mailboxes kept: more than there are users."""

_ORDER = 1024 * 1024
"""Longest order in bytes."""


class Mouth(asyncio.BaseProtocol):
    """The standard output: answers, and news in batches."""

    def __init__(self) -> None:
        self._news: list[Presence] = []
        self._timer: asyncio.TimerHandle | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def say(self, answer: Answer) -> None:
        """Behind the news there are."""
        self.flush()
        self._transport.write(encode(answer) + b"\n")

    def note(self, backend: str, protocol: str, user: str, came: bool) -> None:
        """A piece of news, which is told soon."""
        self._news.append(Presence(time.monotonic(), user, backend, protocol, came))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH, self.flush)

    def flush(self) -> None:
        """Tell the news."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._news:
            told, self._news = self._news, []
            self._transport.write(encode(News(told)) + b"\n")

    async def close(self) -> None:
        """Return when everything has been told, or nobody listens any more."""
        self.flush()
        self._transport.close()
        await self.closed


class Backends:
    """The backends of this process by name, alive inside `stack`."""

    def __init__(self, work: Work, mouth: Mouth) -> None:
        self._mail: dict[str, Mailboxes] = {}
        self._work = work
        self._mouth = mouth
        self.backends: dict[str, Backend] = {}

    async def open(self, stack: AsyncExitStack) -> dict[str, dict[str, int]]:
        """Their ports. Raises OSError when an address cannot be used."""
        for wanted in self._work.backends:
            self.backends[wanted.name] = await stack.enter_async_context(self._backend(wanted))
        if self._work.pushes:
            hosts = [backend.host for backend in self.backends.values()]
            await stack.enter_async_context(Pushes(hosts, self._work.pushes))
        return {name: backend.ports for name, backend in self.backends.items()}

    def _backend(self, wanted: Wanted) -> Backend:
        def watch(protocol: str, user: str, came: bool) -> None:
            self._mouth.note(wanted.name, protocol, user, came)

        mailboxes = self._mail.setdefault(wanted.mail, Mailboxes(first_recipes, most=MAX_MAILBOXES))
        return Backend(wanted.name, wanted.address, mailboxes=mailboxes, watch=watch)

    async def follow(self, order: Order) -> None:
        """Raises OSError when it is impossible, KeyError for a backend that is not here."""
        match order:
            case Kill(backend=name):
                await self.backends[name].kill()
            case Revive(backend=name):
                await self.backends[name].revive()


async def serve() -> None:
    """Be what the first order says, until the standard input ends."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=_ORDER)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    _, mouth = await loop.connect_write_pipe(Mouth, sys.stdout)
    try:
        work = read_order(await orders.readline())
        async with AsyncExitStack() as stack:
            await _work(work, orders, mouth, stack)
    except (OSError, msgspec.DecodeError) as failure:
        mouth.say(Failed(0, str(failure)))
    await mouth.close()


async def _work(work: Order, orders: asyncio.StreamReader, mouth: Mouth, stack: AsyncExitStack) -> None:
    if not isinstance(work, Work):
        mouth.say(Failed(0, "the first order says nothing of the work"))
        return
    backends = Backends(work, mouth)
    ports = await backends.open(stack)
    if work.shards:
        ports["directory"] = {"ldap": await _directory(work, stack)}
    mouth.say(Ready(ports))
    while line := await orders.readline():
        await _follow(read_order(line), backends, mouth)


async def _directory(work: Work, stack: AsyncExitStack) -> int:
    connection = directory_of(work.shards, work.users)
    server = await asyncio.get_running_loop().create_server(connection, work.address, 0, backlog=BACKLOG)
    stack.callback(server.close)
    port: int = server.sockets[0].getsockname()[1]
    return port


async def _follow(order: Order, backends: Backends, mouth: Mouth) -> None:
    if isinstance(order, Kill | Revive | Tell):
        try:
            await backends.follow(order)
        except OSError as failure:
            mouth.say(Failed(order.number, str(failure)))
        else:
            mouth.say(Done(order.number))


def main() -> int:
    """Serve; the exit code."""
    descriptors.allow()
    gc.set_threshold(50_000, 20, 100)  # sessions are many and long-lived: looking at them all is dear and finds nothing
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())

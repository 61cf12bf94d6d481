"""What a process of a simulated site does, without the process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from typing import cast

import pytest

from loadtest.simulated import serving
from loadtest.simulated.messages import (
    Answer,
    Done,
    Failed,
    Kill,
    News,
    Ready,
    Revive,
    Tell,
    Wanted,
    Work,
    encode,
    read_answer,
)
from loadtest.simulated.serving import Backends, Mouth


class Paper(asyncio.WriteTransport):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []
        self.written = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.lines.append(bytes(data))
        self.written.set()

    @property
    def answers(self) -> list[Answer]:
        return [read_answer(line) for line in b"".join(self.lines).splitlines()]


def mouth_and_paper() -> tuple[Mouth, Paper]:
    mouth, paper = Mouth(), Paper()
    mouth.connection_made(cast(asyncio.BaseTransport, paper))
    return mouth, paper


async def test_news_come_in_batches_in_order_and_before_any_answer() -> None:
    mouth, paper = mouth_and_paper()
    mouth.note("a", "imap", "user1", True)
    mouth.note("a", "imap", "user1", False)
    assert paper.lines == []
    mouth.say(Done(7))
    news, done = paper.answers
    assert isinstance(news, News)
    assert [(presence.user, presence.came) for presence in news.presences] == [("user1", True), ("user1", False)]
    assert news.presences[0].at <= news.presences[1].at
    assert done == Done(7)


async def test_news_do_not_wait_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "BATCH", 0.001)
    mouth, paper = mouth_and_paper()
    mouth.note("a", "pop3", "user1", True)
    await paper.written.wait()
    (news,) = paper.answers
    assert isinstance(news, News)
    assert len(news.presences) == 1


async def test_backends_with_the_same_mail_share_it() -> None:
    mouth, _ = mouth_and_paper()
    wanted = [Wanted("a", "127.0.0.1", "s1"), Wanted("b", "127.0.0.2", "s1"), Wanted("c", "127.0.0.1", "s2")]
    async with AsyncExitStack() as stack:
        backends = Backends(Work(backends=wanted), mouth)
        ports = await backends.open(stack)
        assert set(ports) == {"a", "b", "c"}
        assert {protocol for of in ports.values() for protocol in of} == {"imap", "pop3", "managesieve"}
        mail = {name: backend.host.mailboxes.open("user0000001") for name, backend in backends.backends.items()}
        assert mail["a"] is mail["b"]
        assert mail["a"] is not mail["c"]


async def test_orders_are_followed() -> None:
    mouth, _ = mouth_and_paper()
    async with AsyncExitStack() as stack:
        backends = Backends(Work(backends=[Wanted("a", "127.0.0.1", "s1")]), mouth)
        port = (await backends.open(stack))["a"]["imap"]
        await backends.follow(Kill(1, "a"))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await backends.follow(Tell(2))
        await backends.follow(Revive(3, "a"))
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()


def process(*orders: bytes) -> list[Answer]:
    """What a process says to these orders until its input has ended."""
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.simulated.serving"],
        input=b"".join(order + b"\n" for order in orders),
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    return [read_answer(line) for line in done.stdout.splitlines()]


def test_a_process_lives_as_long_as_its_input() -> None:
    work = Work(backends=[Wanted("a", "127.0.0.1", "a")], shards=["s1"], users=5, address="127.0.0.1", pushes=1.0)
    ready, *rest = process(encode(work), encode(Kill(1, "a")), encode(Revive(2, "a")))
    assert isinstance(ready, Ready)
    assert set(ready.ports) == {"a", "directory"}
    assert rest == [Done(1), Done(2)]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (encode(Tell(1)), "says nothing of the work"),
        (b"rubbish", "JSON"),
        (encode(Work(backends=[Wanted("a", "192.0.2.1", "a")])), "assign requested address"),
    ],
)
def test_what_cannot_be_done_is_said(first: bytes, reason: str) -> None:
    (failed,) = process(first)
    assert isinstance(failed, Failed)
    assert reason in failed.reason

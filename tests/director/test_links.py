"""A worker's connection: who may stay, and who is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from director import links
from director.actions import Action, Send
from director.wire import VERSION, Announced, Assign, Connected, Grant, Hello, Wary
from tests.director.stage import Scripted, running

W = "0/1/a"


def assign(lease: int) -> Assign:
    return Assign(lease, "alice", "s1", "", "192.0.2.1", "imap", f"s{lease}")


def grant(worker: str, message: Any) -> Sequence[Action]:
    """A core's whole work, in a test."""
    return [Send(worker, Grant(message.lease, "mb1a", "s1", "hash", 1))] if isinstance(message, Assign) else ()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([Hello(VERSION + 1, W, 0)], "it speaks version 2, and we 1"),
        ([Announced()], "it does not begin with Hello"),
        ([Hello(VERSION, "", 0)], "it has no name"),
    ],
)
async def test_who_does_not_introduce_himself_is_cut_off(
    said: list[Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as stage:
        caller = await stage.connect()
        caller.say(*said)
        assert await caller.ended()
        assert why in caplog.text
        assert stage.core.events == []


async def test_who_is_silent_is_cut_off(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(links, "HELLO_WITHIN", 0.01)
    async with running() as stage:
        caller = await stage.connect()
        assert await caller.ended()
        assert "does not say who it is" in caplog.text


@pytest.mark.parametrize("rubbish", [b"\xff" * 8, b"\x00\x00\x00\x02\x91\xc1", b"GET / HTTP/1.1\r\n\r\n"])
async def test_rubbish_closes_the_connection_that_it_comes_by(rubbish: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with running(Scripted(said=grant)) as stage:
        good, bad = await stage.worker(), await stage.worker("1/2/b", 1)
        bad.write(rubbish)
        assert await bad.ended()
        assert "worker 1/2/b: the connection is closed" in caplog.text
        good.say(assign(1))
        assert len(await good.frame()) == 1


async def test_a_worker_that_does_not_read_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(links, "MAX_UNSENT", 10_000)

    def said(worker: str, _message: Any) -> Sequence[Action]:
        return [Send(worker, Wary("x" * 1000, "", 1.0))] * 3000

    async with running(Scripted(said=said)) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("left", W))
        assert "it does not read" in caplog.text


async def test_what_is_too_long_for_a_frame_costs_the_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    def said(worker: str, _message: Any) -> Sequence[Action]:
        return [Send(worker, Wary("x" * 5_000_000, "", 1.0))]

    async with running(Scripted(said=said)) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("left", W))
        assert "too long" in caplog.text

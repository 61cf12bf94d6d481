"""A directory that remembers: when it asks, and what it makes of the answer."""

from __future__ import annotations

from typing import cast

import pytest

from ldapmap.directory import Directory
from ldapmap.entries import Entry
from ldapmap.errors import (
    AccountDisabled,
    AccountLocked,
    DirectoryError,
    EmptyPassword,
    Misconfigured,
    PasswordExpired,
    ServerFault,
    Unavailable,
    UnknownUser,
    WrongPassword,
)
from ldapmap.memory.line import MemoryLine
from ldapmap.meters import Remembered
from ldapmap.remembering import RememberingDirectory
from tests.ldapmap.scripted import ALICE, ManualClock, RecordingMeters, ScriptedDirectory


class RecordingLine:
    """Writes down what it is told, and answers `verdict`."""

    def __init__(self, life: list[str]) -> None:
        self.told: list[tuple[object, ...]] = []
        self.asked: list[tuple[Entry, bytes]] = []
        self.verdict: Remembered = "unknown"
        self.life = life

    def start(self) -> None:
        self.life.append("line starts")

    def close(self) -> None:
        self.life.append("line closes")

    def remember(self, entry: Entry, password: bytes, asked: float) -> None:
        self.told.append(("remember", entry, password, asked))

    def disown(self, entry: Entry, password: bytes) -> None:
        self.told.append(("disown", entry, password))

    def forget(self, user: str) -> None:
        self.told.append(("forget", user))

    async def verify(self, entry: Entry, password: bytes) -> Remembered:
        self.asked.append((entry, password))
        return self.verdict


class Bench:
    def __init__(self) -> None:
        self.inner, self.meters, self.clock = ScriptedDirectory(), RecordingMeters(), ManualClock()
        self.line = RecordingLine(self.inner.life)
        self.directory: Directory = RememberingDirectory(
            self.inner, cast(MemoryLine, self.line), self.meters, clock=self.clock
        )

    async def fails(self, with_: DirectoryError) -> None:
        """The very error of the server's is raised."""
        self.inner.verdict = with_
        with pytest.raises(DirectoryError) as caught:
            await self.directory.verify(ALICE, b"secret")
        assert caught.value is with_


async def test_what_a_server_accepts_is_remembered_as_of_when_it_was_asked() -> None:
    it = Bench()
    await it.directory.verify(ALICE, b"secret")
    assert it.line.told == [("remember", ALICE, b"secret", 1000.0)]
    assert it.line.asked == []


async def test_a_wrong_password_is_disowned() -> None:
    it = Bench()
    await it.fails(WrongPassword("49"))
    assert it.line.told == [("disown", ALICE, b"secret")]


@pytest.mark.parametrize(
    "refusal", [UnknownUser("32"), AccountLocked("x"), AccountDisabled("x"), PasswordExpired("x")], ids=repr
)
async def test_whom_a_server_sends_away_for_another_reason_is_forgotten(refusal: DirectoryError) -> None:
    it = Bench()
    it.line.verdict = "accepted"
    it.inner.up = False
    await it.fails(refusal)
    assert it.line.told == [("forget", "alice")]
    assert it.line.asked == []


@pytest.mark.parametrize("silence", [Unavailable("no answer"), ServerFault("gone")], ids=repr)
async def test_when_no_server_answers_a_remembered_password_is_accepted(silence: DirectoryError) -> None:
    it = Bench()
    it.inner.up, it.inner.verdict, it.line.verdict = False, silence, "accepted"
    await it.directory.verify(ALICE, b"secret")
    assert it.line.asked == [(ALICE, b"secret")]
    assert it.line.told == [], "and remembered no longer for that"
    assert it.meters.verdicts == ["accepted"]


@pytest.mark.parametrize("verdict", ["refused", "unknown"])
async def test_a_password_that_is_not_the_remembered_one_is_not_wrong(verdict: Remembered) -> None:
    it = Bench()
    it.inner.up, it.line.verdict = False, verdict
    await it.fails(Unavailable("no answer"))
    assert it.meters.verdicts == [verdict]


async def test_memory_is_not_asked_while_any_server_answers() -> None:
    it = Bench()
    it.line.verdict = "accepted"
    await it.fails(Unavailable("the queue is too long"))
    assert it.line.asked == []


@pytest.mark.parametrize("refusal", [Misconfigured("53"), EmptyPassword("blank")], ids=repr)
async def test_what_is_wrong_on_our_side_is_not_made_good_by_memory(refusal: DirectoryError) -> None:
    it = Bench()
    it.inner.up, it.line.verdict = False, "accepted"
    await it.fails(refusal)
    assert it.line.asked == []
    assert it.line.told == []


async def test_the_line_lives_as_long_as_the_directory() -> None:
    it = Bench()
    await it.directory.start()
    await it.directory.close()
    assert it.inner.life == ["line starts", "start", "close", "line closes"]

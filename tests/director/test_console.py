"""The operators' socket: questions in, answers out, and what becomes of those who misbehave."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from director import console
from director.actions import Action, Send
from director.asking import ask
from director.console import Console
from director.desk import Desk, Refused
from director.wire import VERSION, Hello, Kick
from tests.director.stage import PATIENCE, Running, Scripted, running, until


class Clerk:
    """A desk with prepared answers; `asked` is what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Mapping[str, Any], bytes | None, Any]] = []
        self.result: Any = {"kicked": 3}
        self.actions: Sequence[Action] = ()
        self.outcomes: dict[str, Any] = {}

    def answer(self, question: Mapping[str, Any], now: float, *, value: bytes | None, extra: Any) -> Any:
        self.asked.append((question, value, extra))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result, self.actions

    def outcome(self, job: str) -> Any:
        return self.outcomes.get(job)


class Operator:
    """A client of the console."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, question: Any) -> dict[str, Any]:
        self.writer.write(json.dumps(question).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            line = await self.reader.readline()
        assert line, "the connection was closed"
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    async def ended(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read() == b""


class Office:
    """A console that runs."""

    def __init__(self, stage: Running, clerk: Clerk, path: Path) -> None:
        self.stage, self.clerk, self.path = stage, clerk, path
        self._operators: list[Operator] = []

    async def operator(self) -> Operator:
        operator = Operator(*await asyncio.open_unix_connection(self.path, limit=2**24))
        self._operators.append(operator)
        return operator

    def close(self) -> None:
        for operator in self._operators:
            operator.writer.close()


@asynccontextmanager
async def office() -> AsyncIterator[Office]:
    folder, clerk = Path(tempfile.mkdtemp(prefix="vest-")), Clerk()
    path = folder / "control.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    try:
        async with running(Scripted()) as stage, Console(stage.service, cast(Desk, clerk), listening):
            opened = Office(stage, clerk, path)
            try:
                yield opened
            finally:
                opened.close()
    finally:
        shutil.rmtree(folder)


async def test_an_answer_says_that_all_is_well() -> None:
    async with office() as opened:
        operator = await opened.operator()
        assert await operator.ask({"ask": "kick", "target": "alice"}) == {"ok": True, "kicked": 3}
        assert await operator.ask({"ask": "kick", "target": "bob"}) == {"ok": True, "kicked": 3}
        assert opened.clerk.asked[0] == ({"ask": "kick", "target": "alice"}, None, None)


async def test_what_an_order_leads_to_is_done() -> None:
    async with office() as opened:
        worker = await opened.stage.connect()
        worker.say(Hello(VERSION, "0/1/a", 0))
        await until(lambda: opened.stage.service.workers)
        opened.clerk.actions = [Send("0/1/a", Kick(1, "kicked", False))]
        await (await opened.operator()).ask({"ask": "kick", "target": "alice"})
        assert await worker.frame() == [Kick(1, "kicked", False)]


async def test_a_question_about_a_user_brings_what_the_store_has() -> None:
    async with office() as opened:
        service = opened.stage.service
        cast(Any, service._store).swap_now("alice", None, b"stored", None)
        operator = await opened.operator()
        await operator.ask({"ask": "explain", "user": "alice"})
        await operator.ask({"ask": "explain", "user": ""})
        await operator.ask({"ask": "explain", "user": 5})
        assert [value for _, value, _ in opened.clerk.asked] == [b"stored", None, None]


async def test_the_status_says_how_the_store_is_doing() -> None:
    async with office() as opened:
        await (await opened.operator()).ask({"ask": "status"})
        (_, _, extra) = opened.clerk.asked[0]
        assert extra["store"]["kind"] == "memory"
        assert extra["store"]["away"] is False


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 3000])
async def test_rows_come_by_the_thousand(count: int) -> None:
    async with office() as opened:
        opened.clerk.result = iter([{"user": f"user{number}"} for number in range(count)])
        operator = await opened.operator()
        answers = [await operator.ask({"ask": "who"})]
        while answers[-1]["more"]:
            answers.append(await operator.answer())
        assert sum(len(answer["rows"]) for answer in answers) == count
        assert all(len(answer["rows"]) <= 1000 for answer in answers)
        assert len(answers) == max(1, -(-count // 1000))


async def test_what_takes_a_moment_to_find_out_is_waited_for() -> None:
    async with office() as opened:
        opened.clerk.result = {"pending": "drain mb1a"}
        operator = await opened.operator()
        asked = asyncio.ensure_future(operator.ask({"ask": "drain", "backend": "mb1a"}))
        await until(lambda: opened.clerk.asked)
        opened.clerk.outcomes["drain mb1a"] = {"job": "drain mb1a", "users": 7}
        assert await asked == {"ok": True, "job": "drain mb1a", "users": 7}


async def test_what_is_not_found_out_in_time_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with office() as opened:
        opened.clerk.result = {"pending": "drain mb1a"}
        operator = await opened.operator()
        monkeypatch.setattr(console, "PATIENCE", 0.05)
        answer = await operator.ask({"ask": "drain", "backend": "mb1a"})
        assert not answer["ok"]
        assert "takes too long" in answer["error"]


async def test_a_refusal_has_its_reason_and_the_next_question_is_answered() -> None:
    async with office() as opened:
        operator = await opened.operator()
        opened.clerk.result = Refused("no backend is called 'x'")
        assert await operator.ask({"ask": "drain"}) == {"ok": False, "error": "no backend is called 'x'"}
        opened.clerk.result = {}
        assert await operator.ask({"ask": "status"}) == {"ok": True}


@pytest.mark.parametrize("line", [b"rubbish\n", b"\n", b"[]\n", b"\xff\n", b"[" * 60_000 + b"\n", b'{"ask":1,}\n'])
async def test_what_is_no_question_is_told_so(line: bytes) -> None:
    async with office() as opened:
        operator = await opened.operator()
        operator.writer.write(line)
        assert await operator.answer() == {"ok": False, "error": "a question is one line with one JSON object"}
        assert opened.clerk.asked == []


async def test_a_question_that_is_too_long_ends_the_connection() -> None:
    async with office() as opened:
        operator = await opened.operator()
        operator.writer.write(b"x" * 200_000)
        assert "longer than 65536 bytes" in (await operator.answer())["error"]


async def test_an_error_of_ours_is_said_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with office() as opened:
        operator = await opened.operator()
        opened.clerk.result = RuntimeError("a bug")
        assert (await operator.ask({"ask": "status"}))["error"] == "an error of ours, which the log has"
        assert "a bug" in caplog.text


async def test_an_answer_that_cannot_be_written_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with office() as opened:
        operator = await opened.operator()
        opened.clerk.result = {"strange": object()}
        operator.writer.write(b'{"ask":"status"}\n')
        assert await operator.ended()
        assert "cannot be given" in caplog.text


async def test_who_is_silent_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "PATIENCE", 0.01)
    async with office() as opened:
        assert await (await opened.operator()).ended()


async def test_who_goes_in_the_middle_of_a_question_harms_nobody() -> None:
    async with office() as opened:
        leaving, staying = await opened.operator(), await opened.operator()
        leaving.writer.write(b'{"ask":')
        leaving.writer.close()
        assert await staying.ask({"ask": "status"}) == {"ok": True, "kicked": 3}


async def test_more_clients_than_there_may_be_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "MOST_CLIENTS", 1)
    async with office() as opened:
        first = await opened.operator()
        await first.ask({"ask": "status"})
        second = await opened.operator()
        assert "too many" in (await second.answer())["error"]
        assert await second.ended()


async def test_our_own_way_of_asking_is_understood() -> None:
    async with office() as opened:
        opened.clerk.result = iter([{"user": f"user{number}"} for number in range(1500)])
        answers = await asyncio.to_thread(lambda: list(ask(opened.path, {"ask": "who", "target": ""})))
        assert [len(answer["rows"]) for answer in answers] == [1000, 500]

"""The control socket, from both ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ldapmap.errors import Unavailable
from ldapmap.mirror import control as control_module
from ldapmap.mirror.changes import Change
from ldapmap.mirror.control import Control, ask, changes
from ldapmap.mirror.copies import Copies
from tests.ldapmap.mirror.test_status import STATUS


class Log:
    """Stands for the copies: a log of changes that forgets."""

    def __init__(self) -> None:
        self.rebuild_ordered = asyncio.Event()
        self.changed = asyncio.Event()
        self.first = self.sequence = 100
        self.asked = 0

    def status(self) -> Any:
        return STATUS

    def changes_since(self, sequence: int, limit: int) -> list[Change] | None:
        self.asked += 1
        if not self.first <= sequence <= self.sequence:
            return None
        last = min(self.sequence, sequence + limit)
        return [Change(number, f"user{number}", "s2", "", "s1", "") for number in range(sequence + 1, last + 1)]

    def change(self, count: int = 1) -> None:
        self.sequence += count
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="vest-control-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def log(path: Path) -> AsyncIterator[Log]:
    log = Log()
    async with Control(path, cast(Copies, log)):
        yield log
    assert not (path / "mirror.sock").exists()


async def raw(path: Path, question: bytes) -> bytes:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_unix_connection(path / "mirror.sock")
        writer.write(question)
        answer = await reader.readline()
        writer.close()
        return answer


async def asked(path: Path, question: str) -> dict[str, Any]:
    return await asyncio.to_thread(ask, path, question)


@contextlib.asynccontextmanager
async def told(path: Path, since: int) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async with asyncio.timeout(10), contextlib.aclosing(changes(path, since)) as stream:
        yield stream


async def test_the_status_is_told(path: Path, log: Log) -> None:
    assert await asked(path, "status") == STATUS.as_json()


async def test_a_rebuild_is_ordered(path: Path, log: Log) -> None:
    assert await asked(path, "rebuild") == {"ordered": True}
    assert log.rebuild_ordered.is_set()


async def test_only_the_owner_may_connect(path: Path, log: Log) -> None:
    assert stat.S_IMODE((path / "mirror.sock").stat().st_mode) == 0o600


async def test_a_socket_that_was_left_behind_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path / "mirror.sock"))
    async with Control(path, cast(Copies, Log())):
        assert (await asked(path, "status"))["users"] == 3


async def test_a_place_where_there_can_be_no_socket_is_an_error(path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await Control(path / "missing", cast(Copies, Log())).__aenter__()


@pytest.mark.parametrize(
    "question",
    [
        b"\n",
        b"status\n",
        b"[]\n",
        b"{}\n",
        b'{"ask":["status"]}\n',
        b'{"ask":"changes","since":"x"}\n',
        b'{"ask":"changes","since":true}\n',
        b'{"ask":"x"}\n',
        b"\xff\n",
        b"[" * 4000 + b"\n",
        b"x" * 100_000,
    ],
)
async def test_whatever_is_no_question_is_refused(path: Path, log: Log, question: bytes) -> None:
    assert json.loads(await raw(path, question)) == {"error": "not a question"}


async def test_a_refusal_is_an_exception_for_who_asks(path: Path, log: Log) -> None:
    with pytest.raises(Unavailable, match="refuses"):
        await asked(path, "x")


async def test_without_a_process_nobody_answers(path: Path) -> None:
    with pytest.raises(Unavailable, match="no mirror answers"):
        ask(path, "status")
    with pytest.raises(Unavailable, match="no mirror answers"):
        await anext(changes(path, 0))


async def test_who_says_nothing_is_not_waited_for(path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "_PATIENCE", 0.01)
    assert await raw(path, b'{"ask":') == b""


async def test_who_begins_to_follow_is_told_to_look_at_everything(path: Path, log: Log) -> None:
    async with told(path, 0) as stream:
        assert await anext(stream) == {"reset": True, "seq": 100}
        log.change()
        assert (await anext(stream))["seq"] == 101


async def test_who_comes_back_misses_nothing(path: Path, log: Log) -> None:
    log.change(1200)
    async with told(path, 100) as stream:
        assert [(await anext(stream))["seq"] for _ in range(1200)] == list(range(101, 1301))
        log.change()
        assert await anext(stream) == {
            "seq": 1301,
            "user": "user1301",
            "shard": "s2",
            "preferred": "",
            "was_shard": "s1",
            "was_preferred": "",
        }


async def test_a_change_of_a_shard_names_only_the_shard(path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    change = Change(101, "", "", "", "", "", "s7")
    monkeypatch.setattr(log, "changes_since", lambda since, limit: [change] if since < 101 else [])
    async with told(path, 100) as stream:
        assert await anext(stream) == {"seq": 101, "shard_entry": "s7"}


async def test_a_new_copy_is_a_reset_for_everybody(path: Path, log: Log) -> None:
    async with told(path, 100) as first, told(path, 100) as second:
        waiting = [asyncio.ensure_future(anext(stream)) for stream in (first, second)]
        while log.asked < 2:
            await asyncio.sleep(0)
        log.first = log.sequence = 5000
        log.change(0)
        assert [await each for each in waiting] == [{"reset": True, "seq": 5000}] * 2


async def test_without_any_copy_a_follower_waits_for_the_first(path: Path, log: Log) -> None:
    log.first, log.sequence = 1, 0
    async with told(path, 0) as stream:
        waiting = asyncio.ensure_future(anext(stream))
        while not log.asked:
            await asyncio.sleep(0)
        assert not waiting.done()
        log.first = log.sequence = 700
        log.change(0)
        assert await waiting == {"reset": True, "seq": 700}


async def test_a_slow_reader_is_not_queued_for_and_gets_a_reset(path: Path, log: Log) -> None:
    reader, writer = await asyncio.open_unix_connection(path / "mirror.sock", limit=1000)
    writer.write(b'{"ask":"changes","since":100}\n')
    asked_before = -1
    async with asyncio.timeout(10):
        while log.asked != asked_before:  # until nothing more is taken out of the log for it
            asked_before = log.asked
            log.change(500)
            for _ in range(20):
                await asyncio.sleep(0)
        log.first = log.sequence
        lines: list[dict[str, Any]] = []
        while not lines or "reset" not in lines[-1]:
            lines.append(json.loads(await reader.readline()))
    writer.close()
    assert lines[-1] == {"reset": True, "seq": log.sequence}
    numbers = [line["seq"] for line in lines[:-1]]
    assert numbers == list(range(101, 101 + len(numbers)))


async def test_who_does_not_read_at_all_is_cut_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    log.change(50_000)
    monkeypatch.setattr(control_module, "_PATIENCE", 0.05)
    async with asyncio.timeout(10), Control(path, cast(Copies, log)) as control:
        _, writer = await asyncio.open_unix_connection(path / "mirror.sock", limit=1000)
        writer.write(b'{"ask":"changes","since":100}\n')
        while not log.asked or control.clients:
            await asyncio.sleep(0)
        assert log.asked < 100  # of the hundred times that everything would take
        writer.close()


async def test_there_is_room_for_so_many_clients_and_it_is_given_back(
    path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "_MOST_CLIENTS", 1)
    async with told(path, 0) as stream:
        await anext(stream)
        assert json.loads(await raw(path, b'{"ask":"status"}\n')) == {"error": "too many clients"}
    async with asyncio.timeout(5):
        while b"error" in await raw(path, b'{"ask":"status"}\n'):
            pass


async def test_the_end_of_the_process_is_told_to_its_clients(path: Path) -> None:
    async with Control(path, cast(Copies, Log())):
        stream = changes(path, 0)
        await anext(stream)
    with pytest.raises(Unavailable, match="process"):
        await anext(stream)


@pytest.mark.parametrize("answer", [b"", b"{}", b"x\n", b"[]\n", b"x" * 200_000])
async def test_an_answer_that_is_none_is_an_error(path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, path / "mirror.sock"):
        with pytest.raises(Unavailable):
            await asked(path, "status")
        with pytest.raises(Unavailable):
            await anext(changes(path, 0))

"""The line is a Unix socket: what is said arrives, its end is told, and who does not read is left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from director import Shards, line
from director.client import Client
from director.line import dial
from tests.director.examples import shard_settings
from tests.director.far_end import FarEnd
from tests.director.small import SmallDirector


class Listener:
    """Hears what comes, and the end."""

    def __init__(self) -> None:
        self.data = b""
        self.some = asyncio.Event()
        self.ended = asyncio.Event()

    def heard(self, data: bytes) -> None:
        self.data += data
        self.some.set()

    def lost(self) -> None:
        self.ended.set()


async def within_reason(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 10)


async def test_bytes_go_both_ways_and_either_side_may_end_it(tmp_path: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async with await asyncio.start_unix_server(echo, tmp_path / "sock"):
        ear = Listener()
        made = await dial(str(tmp_path / "sock"), ear)
        made.send(b"hello")
        await within_reason(ear.some)
        assert ear.data == b"hello"
        made.close()
        await within_reason(ear.ended)


async def test_nobody_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await dial(str(tmp_path / "sock"), Listener())


async def test_a_director_that_does_not_read_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "MAX_UNSENT", 1000)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    ended = asyncio.Event()
    async with await asyncio.start_unix_server(hang, tmp_path / "sock"):
        ear = Listener()
        made = await dial(str(tmp_path / "sock"), ear)
        made.send(b"x" * 10_000_000)
        await within_reason(ear.ended)
        ended.set()


async def test_a_client_and_a_director_meet_on_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "director.sock"
    small: FarEnd = SmallDirector(Shards([shard_settings("s1", mb1a=1)]))
    async with await small.listen(path):
        client = Client(str(path), "0/1/cafe", 0, asyncio.get_running_loop().time, wait=10.0)
        client.start()
        lease = await client.assign(
            "alice", "s1", "", address="192.0.2.7", protocol="imap", session="s", on_kick=lambda reason, now: None
        )
        assert lease.backend.name == "mb1a"
        small.hang_up()
        again = await client.assign(
            "bob", "s1", "", address="192.0.2.7", protocol="imap", session="s", on_kick=lambda reason, now: None
        )
        assert again.backend.name == "mb1a"
        await client.close()

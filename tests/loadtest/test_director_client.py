"""A mail client that is one small object."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import tls
from loadtest import director_client
from loadtest.director_client import Client, Front, Refused, come_in, log_in


class Server:
    """Answers the commands of its clients by turns with `answers`, then hangs up; "" is a greeting alone."""

    def __init__(self, conversations: Sequence[Sequence[bytes]]) -> None:
        self._conversations = iter(conversations)
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        for answer in next(self._conversations):
            self.heard.append(await reader.readline())
            writer.write(answer)
        writer.close()


@asynccontextmanager
async def front(folder: Path, *conversations: Sequence[bytes]) -> AsyncIterator[tuple[Front, Server]]:
    authority = tls.ThrowawayAuthority()
    files = authority.issue(folder, "server", dns=("localhost",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    server = Server(conversations)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield Front(port, tls.backend_context(authority.write_ca(folder / "ca.pem"), True)), server


IN = (b"a OK in\r\n", b'* ID ("name" "mb1a")\r\nb OK\r\n')
ELSEWHERE = (b"a OK in\r\n", b'* ID ("name" "mb1b")\r\nb OK\r\n')


async def test_a_session_knows_where_it_is_waits_and_hears_the_farewell(tmp_path: Path) -> None:
    async with front(tmp_path, (*IN, b"+ idling\r\n* BYE moved\r\n")) as (place, server):
        session = await log_in(place, "alice", "a secret")
        assert session.where == "mb1a"
        await session.idle()
        assert await session.end() == "* BYE moved"
        assert session.ended > 0
    assert server.heard == [b'a LOGIN "alice" "a secret"\r\n', b"b ID NIL\r\n", b"i IDLE\r\n"]


async def test_a_session_that_ends_without_a_word_was_closed(tmp_path: Path) -> None:
    async with front(tmp_path, IN) as (place, _):
        session = await log_in(place, "alice", "secret")
        assert await session.end() == "closed"


async def test_logging_out_ends_a_session(tmp_path: Path) -> None:
    async with front(tmp_path, (*IN, b"* BYE\r\nz OK\r\n")) as (place, server):
        session = await log_in(place, "alice", "secret")
        await session.log_out()
    assert server.heard[-1] == b"z LOGOUT\r\n"


async def test_a_goodbye_that_nobody_asked_for_is_a_refusal(tmp_path: Path) -> None:
    async with front(tmp_path, (*IN, b"* BYE later\r\n")) as (place, _):
        session = await log_in(place, "alice", "secret")
        with pytest.raises(Refused, match="later"):
            await session.idle()


@pytest.mark.parametrize("answers", [(b"a NO later\r\n",), (b"* BYE later\r\n",), (b"",)])
async def test_who_is_not_let_in_is_refused(tmp_path: Path, answers: Sequence[bytes]) -> None:
    async with front(tmp_path, answers) as (place, _):
        with pytest.raises(Refused, match=r"later|closed"):
            await log_in(place, "alice", "secret")


async def test_a_client_comes_again_until_it_is_where_it_wants_to_be(tmp_path: Path) -> None:
    refused, elsewhere = (b"a NO later\r\n",), (*ELSEWHERE, b"z OK\r\n")
    async with front(tmp_path, refused, elsewhere, IN) as (place, _):
        back = await come_in(place, "alice", "secret", at="mb1a")
        back.session.client.close()
    assert [text for _, text in back.refusals] == ["a NO later", "was at mb1b"]
    assert back.seconds >= back.last + sum(seconds for seconds, _ in back.refusals)


async def test_a_client_gives_up_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(director_client, "PATIENCE", 0.2)
    async with front(tmp_path) as (place, _):
        unused = Front(place.port, ssl.create_default_context())
        with pytest.raises(Refused, match="alice was not let in"):
            await come_in(unused, "alice", "secret")


async def test_a_front_that_is_not_trusted_gets_no_word(tmp_path: Path) -> None:
    async with front(tmp_path) as (place, server):
        with pytest.raises(ssl.SSLCertVerificationError):
            await Client.connect(Front(place.port, ssl.create_default_context()))
    assert server.heard == []

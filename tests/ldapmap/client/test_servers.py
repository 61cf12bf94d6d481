"""Several servers: the nearest first and by weight, another once, and back when it answers again."""

import asyncio
import contextlib
from typing import Any

import pytest

from ldapmap.client.messages import BaseProbe
from ldapmap.client.servers import Servers
from ldapmap.client.turns import Busy
from ldapmap.errors import Misconfigured, ServerFault, Unavailable, WrongPassword
from ldapmap.ldap import LdapDirectory
from ldapmap.settings import ServerSettings
from tests.ldapmap.conftest import OpenDirectory
from tests.ldapmap.fake import (
    BIND,
    SEARCH,
    Conversation,
    FakeServer,
    Request,
    bind_result,
    fake_server,
    ordinary,
    search_done,
)
from tests.ldapmap.test_ldap import USER, is_probe


class Moody:
    """An ordinary server that can be told to answer everything with a code, or to hang up."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.hangs_up = False

    async def script(self, request: Request, conversation: Conversation) -> None:
        if self.hangs_up:
            conversation.close()
        elif self.code is None:
            await ordinary(request, conversation)
        elif request.kind == SEARCH:
            conversation.send(search_done(request, self.code))
        elif request.kind == BIND:
            conversation.send(bind_result(request, 0 if b"cn=service" in request else self.code))


def logins(server: FakeServer) -> int:
    return len([request for request in server.of_kind(SEARCH) if not is_probe(request)])


async def test_the_first_server_is_asked_as_long_as_it_answers(directory_on: OpenDirectory) -> None:
    async with fake_server(ordinary) as near, fake_server(ordinary) as far, directory_on(near, far) as directory:
        for _ in range(3):
            await directory.find("alice")
        assert (logins(near), len(far.requests)) == (3, 0)


@pytest.mark.parametrize("code", [1, 3, 8, 10, 11, 13, 32, 51, 52, 53, 80, 4242])
async def test_what_one_server_cannot_tell_another_is_asked_once(directory_on: OpenDirectory, code: int) -> None:
    moody = Moody()
    moody.code = code
    async with fake_server(moody.script) as near, fake_server(ordinary) as far, directory_on(near, far) as directory:
        assert await directory.find("alice") == USER
        assert logins(far) == 1


async def test_two_attempts_are_all(directory_on: OpenDirectory) -> None:
    moods = [Moody(), Moody(), Moody()]
    for mood in moods:
        mood.code = 80
    async with (
        fake_server(moods[0].script) as first,
        fake_server(moods[1].script) as second,
        fake_server(moods[2].script) as third,
        directory_on(first, second, third) as directory,
    ):
        with pytest.raises(Unavailable):
            await directory.find("alice")
        assert [logins(first), logins(second), logins(third)] == [1, 1, 0]


async def test_a_wrong_password_is_not_tried_elsewhere(directory_on: OpenDirectory) -> None:
    async with fake_server(ordinary) as near, fake_server(ordinary) as far, directory_on(near, far) as directory:
        with pytest.raises(WrongPassword):
            await directory.verify(USER, b"wrong")
        assert far.requests == []


async def test_a_single_server_is_asked_again_only_after_a_lost_connection(directory_on: OpenDirectory) -> None:
    moody = Moody()
    async with fake_server(moody.script) as server, directory_on(server, server_retry=30.0) as directory:
        moody.code = 52
        with pytest.raises(ServerFault):
            await directory.find("alice")
        assert logins(server) == 1
        moody.code, moody.hangs_up = None, True
        with pytest.raises(ServerFault):
            await directory.find("alice")
        moody.hangs_up = False
        server.conversations[-1].close()
        assert await directory.find("alice") == USER


async def test_a_server_that_failed_is_passed_over_until_a_probe_is_answered(directory_on: OpenDirectory) -> None:
    moody = Moody()
    async with fake_server(moody.script) as near, fake_server(ordinary) as far, directory_on(near, far) as directory:
        moody.code = 52
        await directory.find("alice")
        assert await until_asked(near, logins(near), directory) is False
        before = logins(near)
        moody.code = None
        assert await until_asked(near, before, directory) is True


async def until_asked(server: FakeServer, before: int, directory: LdapDirectory) -> bool:
    """Log in until this server is asked for more than probes; False when three more probes came first."""
    probes = len(list(filter(is_probe, server.requests)))
    while logins(server) == before:
        await directory.find("alice")
        await asyncio.sleep(0)
        if len(list(filter(is_probe, server.requests))) >= probes + 3:
            return False
    return True


async def test_when_all_failed_the_least_recently_failed_is_asked(directory_on: OpenDirectory) -> None:
    first, second = Moody(), Moody()
    async with (
        fake_server(first.script) as near,
        fake_server(second.script) as far,
        directory_on(near, far, server_retry=30.0) as directory,
    ):
        first.code = second.code = 52
        with pytest.raises(ServerFault):
            await directory.find("alice")
        assert not directory.healthy
        first.code = None
        assert await directory.find("alice") == USER
        assert directory.healthy


async def test_health_returns_without_a_login(directory_on: OpenDirectory) -> None:
    moody = Moody()
    moody.hangs_up = True
    async with fake_server(moody.script) as server, directory_on(server) as directory:
        assert not directory.healthy
        moody.hangs_up = False
        async with asyncio.timeout(5):
            while not directory.healthy:
                await asyncio.sleep(0)


async def test_servers_that_were_never_started_can_be_closed() -> None:
    servers = Servers([], BaseProbe("dc=x"))
    await servers.close()
    assert not servers.healthy
    await servers.start()
    await servers.close()
    assert servers.status().servers == ()


async def test_starting_prefers_the_first_server_that_answers(directory_on: OpenDirectory) -> None:
    moody = Moody()
    moody.hangs_up = True
    async with (
        fake_server(moody.script) as near,
        fake_server(ordinary) as far,
        fake_server(ordinary) as farther,
        directory_on(near, far, farther, server_retry=30.0) as directory,
    ):
        assert directory.healthy
        assert await directory.find("alice") == USER
        assert (len(near.conversations), len(far.conversations), len(farther.conversations)) == (1, 1, 0)


async def test_the_search_that_was_lost_with_its_connection_succeeds_on_a_new_one(directory_on: OpenDirectory) -> None:
    async with fake_server(ordinary) as server, directory_on(server) as directory:
        server.conversations[0].close()
        assert await directory.find("alice") == USER
        assert len(server.conversations) == 2


async def test_cancelled_logins_leave_nothing_behind(directory_on: OpenDirectory) -> None:
    async with fake_server(ordinary) as server, directory_on(server, bind_connections=2) as directory:
        for turns in range(40):
            tasks = [asyncio.ensure_future(login(directory)) for _ in range(6)]
            for _ in range(turns % 13):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(result is None for result in results[1::2])
        await login(directory)


async def login(directory: LdapDirectory) -> None:
    await directory.verify(await directory.find("alice"), b"secret")


async def test_a_misconfigured_server_is_told_apart_when_no_other_answers(directory_on: OpenDirectory) -> None:
    moody = Moody()
    moody.code = 13
    async with fake_server(moody.script) as server, directory_on(server) as directory:
        with pytest.raises(Misconfigured):
            await directory.find("alice")
        with contextlib.suppress(Misconfigured):
            await directory.verify(USER, b"secret")
        assert len(server.conversations) == 2


# --- priorities and weights ---


def weighted(*servers: tuple[FakeServer, int, int]) -> dict[str, Any]:
    """Settings with priority and weight of each server, written in an order that means nothing."""
    tables = tuple(
        ServerSettings(url=server.url, priority=priority, weight=weight) for server, priority, weight in servers
    )
    return {"servers": (), "server": tables, "server_retry": 30.0}


async def test_servers_of_one_priority_share_searches_and_binds_by_weight(directory_on: OpenDirectory) -> None:
    async with (
        fake_server(ordinary) as heavy,
        fake_server(ordinary) as light,
        fake_server(ordinary) as spare,
        directory_on(**weighted((spare, 2, 9), (heavy, 1, 2), (light, 1, 1))) as directory,
    ):
        for _ in range(9):
            await login(directory)
        users = [[r for r in server.of_kind(BIND) if b"uid=alice" in r] for server in (heavy, light, spare)]
        assert [len(each) for each in users] == [6, 3, 0]
        assert [logins(heavy), logins(light), logins(spare)] == [6, 3, 0]


async def test_the_next_priority_is_used_when_all_of_the_first_are_down(directory_on: OpenDirectory) -> None:
    first, second = Moody(), Moody()
    async with (
        fake_server(first.script) as one,
        fake_server(second.script) as two,
        fake_server(ordinary) as spare,
        directory_on(**weighted((one, 1, 1), (two, 1, 1), (spare, 7, 1))) as directory,
    ):
        first.code = second.code = 52
        for _ in range(4):
            with contextlib.suppress(ServerFault):  # the second of two attempts may meet the other that is down
                await directory.find("alice")
        assert [server.down for server in directory.status().servers] == [True, True, False]
        before = logins(spare)
        assert await directory.find("alice") == USER
        assert logins(spare) == before + 1


async def test_the_status_names_the_servers_by_priority(directory_on: OpenDirectory) -> None:
    async with (
        fake_server(ordinary) as near,
        fake_server(ordinary) as far,
        directory_on(**weighted((far, 2, 1), (near, 1, 1))) as directory,
    ):
        await login(directory)
        assert [server.url for server in directory.status().servers] == [near.url, far.url]
        assert [server.bind_open for server in directory.status().servers] == [1, 0]


# --- crowds ---


class Slow:
    """Binds of users are answered when the test says so."""

    def __init__(self) -> None:
        self.binds: list[tuple[Request, Conversation]] = []

    async def script(self, request: Request, conversation: Conversation) -> None:
        if request.kind == BIND and b"uid=alice" in request:
            self.binds.append((request, conversation))
        else:
            await ordinary(request, conversation)


async def test_who_waited_in_vain_is_not_carried_to_another_server(directory_on: OpenDirectory) -> None:
    slow = Slow()
    async with (
        fake_server(slow.script) as near,
        fake_server(ordinary) as far,
        directory_on(near, far, bind_connections=1, queue_time=0.05) as directory,
    ):
        first = asyncio.ensure_future(directory.verify(USER, b"secret"))
        await near.seen(lambda near: bool(slow.binds))
        with pytest.raises(Busy):
            await directory.verify(USER, b"secret")
        assert far.requests == []
        assert directory.healthy
        slow.binds[0][1].send(bind_result(slow.binds[0][0], 0))
        await first


async def test_when_a_server_falls_silent_those_who_wait_for_it_go_to_the_other_at_once(
    directory_on: OpenDirectory,
) -> None:
    slow = Slow()
    async with (
        fake_server(slow.script) as near,
        fake_server(ordinary) as far,
        directory_on(near, far, bind_connections=2, operation_timeout=0.1, server_retry=30.0) as directory,
    ):
        logins = [asyncio.ensure_future(directory.verify(USER, b"secret")) for _ in range(20)]
        await asyncio.gather(*logins)
        assert len([request for request in near.of_kind(BIND) if b"uid=alice" in request]) <= 4
        assert len([request for request in far.of_kind(BIND) if b"uid=alice" in request]) == 20

"""A worker in the test's own event loop: it accepts, keeps its sessions, obeys, and comes to an end."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from director import BackendSettings, Shards, ShardSettings
from director.wire import Catalogue, Connected, Embargo, Hello, Place
from loadtest.backends import Backend as SimulatedBackend
from proxy import control
from proxy.dispatcher import READ, Dispatcher
from proxy.estate import Estate, prepare
from proxy.localsockets import DIRECTOR
from proxy.log import Sink
from proxy.meters import DirectoryMeters
from proxy.relay import End, Relay
from proxy.settings import ListenerSettings, Settings
from proxy.worker import HalfClosed, Worker, most_sessions
from tests.director.small import SmallDirector
from tests.proxy.front import PASSWORD, Certificates, Clock, People, login, site, small_director
from tests.proxy.sockets import tcp_pair, until, write
from tests.proxy.talk import Imap, Peer, Server, silent
from tls import read_pair

CLEAR: Mapping[str, Any] = {"tls": "off", "plaintext_auth": True}


class Running:
    """A worker that has said that it accepts, and its director."""

    def __init__(self, estate: Estate, people: People, director: SmallDirector) -> None:
        self.estate = estate
        self.people = people
        self.director = director
        self.line, self._theirs = socket.socketpair()
        meters = DirectoryMeters(estate.counters.workers[0], ())
        self.worker = Worker(estate, 0, people, meters, asyncio.get_running_loop())
        self.task = asyncio.create_task(self.worker.run(self._theirs))

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The listeners' addresses."""
        return [sock.getsockname() for sock in self.estate.sockets[0]]

    async def accepting(self) -> None:
        """Wait until it says so."""
        self.line.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(self.line, 10) == control.READY

    async def connect(self, listener: int = 0) -> Peer:
        """A client that has read nothing yet."""
        return await Peer.connect(self.addresses[listener])

    async def greeted(self) -> Peer:
        """A client that has read the greeting."""
        client = await self.connect()
        await client.line()
        return client

    async def logged_in(self, user: str = "alice") -> Peer:
        """A client whose login has succeeded."""
        client = await self.greeted()
        assert b"a OK" in await client.ask(login(user))
        return client

    def drain(self) -> None:
        """Tell it to end, as the supervisor does."""
        os.kill(os.getpid(), signal.SIGTERM)

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        path = self.estate.settings.log.file
        assert path is not None
        return [json.loads(line) for line in path.read_text().splitlines()]

    def number(self, name: str, *labels: str) -> float:
        """One of its metrics."""
        return self.estate.counters.number(name, labels)


@asynccontextmanager
async def running(settings: Settings, folder: Path, people: People | None = None) -> AsyncIterator[Running]:
    """A worker; in the end it is told to drain, and given no time for it."""
    log = folder / "worker.log"
    node = replace(settings.node, run_dir=folder)
    settings = replace(settings, node=node, log=replace(settings.log, file=log))
    director = small_director(settings)
    async with await director.listen(folder / DIRECTOR):
        worker = Running(prepare(settings, Sink(log)), people or People(), director)
        await worker.accepting()
        yield worker
        if not worker.task.done():
            worker.drain()
        await asyncio.wait_for(worker.task, 10)
        worker.line.close()


def hasty(*servers: Server, drain: float = 0.0, **more: Any) -> Settings:
    """Settings of a worker that does not wait long for its sessions."""
    timeouts = {"drain": drain, **more.pop("timeouts", {})}
    return site(*servers, timeouts=timeouts, **more)


def with_listeners(settings: Settings, *listeners: Mapping[str, Any]) -> Settings:
    """The same with these listeners."""
    return replace(settings, listener=tuple(ListenerSettings(address="127.0.0.1:0", **each) for each in listeners))


# --- sessions ---


async def test_all_protocols_are_served_by_their_listeners(tmp_path: Path) -> None:
    async with SimulatedBackend("mb1a") as backend, Server(silent) as unused:
        settings = hasty(unused)
        (shard,) = settings.shard
        only = replace(shard.backend[0], ports=backend.ports)
        listeners = [{"protocol": protocol, **CLEAR} for protocol in ("imap", "pop3", "managesieve")]
        settings = with_listeners(replace(settings, shard=(replace(shard, backend=(only,)),)), *listeners)
        async with running(settings, tmp_path) as worker:
            imap, pop3, sieve = [await worker.connect(position) for position in range(3)]
            await imap.line()
            assert b"a OK" in await imap.ask(login())
            assert b"b OK" in await imap.ask(b"b SELECT INBOX")
            await pop3.line()
            await pop3.send(b"USER alice\r\nPASS " + PASSWORD.encode() + b"\r\nSTAT\r\n")
            assert [(await pop3.line())[:3] for _ in range(3)] == [b"+OK"] * 3
            while not (await sieve.line()).startswith(b"OK"):
                pass
            await sieve.send(b'AUTHENTICATE "PLAIN" "AGFsaWNlAFRyMHViNGRvciYzIGNvcnJlY3QtaG9yc2U="\r\nLISTSCRIPTS\r\n')
            assert (await sieve.line()).startswith(b"OK")
            assert sorted(one.protocol for one in backend.host.logins) == ["imap", "managesieve", "pop3"]
            assert {one.client for one in backend.host.logins} == {"127.0.0.1"}
            for client in (imap, pop3, sieve):
                client.close()


async def test_readiness_is_told_when_connections_are_accepted_and_the_directory_has_started(tmp_path: Path) -> None:
    class Slow(People):
        def __init__(self) -> None:
            super().__init__()
            self.started = asyncio.Event()

        async def start(self) -> None:
            await self.started.wait()

    people = Slow()
    async with Server(Imap()) as server:
        settings = hasty(server)
        settings = replace(settings, node=replace(settings.node, run_dir=tmp_path))
        director = small_director(settings)
        async with await director.listen(tmp_path / DIRECTOR):
            worker = Running(prepare(settings, Sink(tmp_path / "log")), people, director)
            worker.line.setblocking(False)
            for _ in range(10):
                await asyncio.sleep(0)
            with pytest.raises(BlockingIOError):
                worker.line.recv(1)
            people.started.set()
            await worker.accepting()
            (await worker.logged_in()).close()
            worker.drain()
            await worker.task


async def test_what_it_does_is_shown_in_the_metrics(tmp_path: Path) -> None:
    people = People()
    async with Server(Imap()) as server, running(hasty(server), tmp_path, people) as worker:
        assert worker.number("worker_accepting") == 1
        assert worker.number("directory_up") == 1
        first = worker.number("worker_heartbeat_seconds")
        client, other = await worker.logged_in(), await worker.greeted()
        await until(lambda: worker.number("sessions", "imap", "off") == 2)
        assert worker.number("worker_heartbeat_seconds") > first > 0
        assert worker.number("connections_total", "imap") == 2
        assert worker.number("logins_total", "imap", "ok") == 1
        people.healthy = False
        client.close()
        other.close()
        await until(lambda: worker.number("sessions", "imap", "off") == 0)
        assert worker.number("directory_up") == 0


async def test_log_lines_are_written_soon_and_lost_ones_counted(tmp_path: Path) -> None:
    async with Server(Imap()) as server, running(hasty(server), tmp_path) as worker:
        (await worker.logged_in()).close()
        await until(worker.lines)
        (line,) = worker.lines()
        assert (line["event"], line["user"], line["closed_by"]) == ("session", "alice", "client")
        assert worker.number("log_lines_dropped_total") == 0


async def test_session_ids_are_unique(tmp_path: Path) -> None:
    async with Server(Imap()) as server, running(hasty(server), tmp_path) as worker:
        for _ in range(20):
            (await worker.greeted()).close()
        await until(lambda: len(worker.lines()) == 20)
        assert len({line["session"] for line in worker.lines()}) == 20


async def test_deadlines_are_kept_without_being_told(tmp_path: Path) -> None:
    timeouts = {"login": 0.1, "login_budget": 0.1}
    async with Server(Imap()) as server, running(hasty(server, timeouts=timeouts), tmp_path) as worker:
        client = await worker.greeted()
        assert await client.rest() == b"* BYE No login in time.\r\n"


async def test_an_error_of_ours_in_the_directory_leaves_the_worker_alive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    people = People()
    async with Server(Imap()) as server, running(hasty(server), tmp_path, people) as worker:
        people.trouble["find"] = ZeroDivisionError("ours")
        client = await worker.greeted()
        await client.send(login() + b"\r\n")
        assert (await client.rest()).startswith(b"a NO [SERVERBUG]")
        people.trouble.clear()
        (await worker.logged_in()).close()
        assert "ZeroDivisionError" in caplog.text


# --- the director ---


async def test_each_life_of_a_worker_has_a_name_of_its_own(tmp_path: Path) -> None:
    async with Server(Imap()) as server, running(hasty(server), tmp_path) as worker:
        (await worker.logged_in()).close()
        (hello,) = worker.director.all(Hello)
        slot, pid, rest = hello.worker.split("/")
        assert (slot, hello.slot, int(pid), len(rest)) == ("0", 0, os.getpid(), 8)


async def test_a_login_waits_for_a_director_that_is_not_there_yet(tmp_path: Path) -> None:
    async with Server(Imap()) as server:
        settings = replace(hasty(server), node=replace(hasty(server).node, run_dir=tmp_path))
        director = small_director(settings)
        worker = Running(prepare(settings, Sink(tmp_path / "log")), People(), director)
        await worker.accepting()
        client = await worker.greeted()
        await client.send(login() + b"\r\n")
        async with await director.listen(tmp_path / DIRECTOR):
            assert b"a OK" in await client.answer(b"a")
            client.close()
            await until(lambda: not director.leases)
            worker.drain()
            await worker.task


async def test_all_leases_have_gone_back_when_it_ends(tmp_path: Path) -> None:
    async with Server(Imap()) as server, running(hasty(server), tmp_path) as worker:
        client = await worker.logged_in()
        assert worker.director.leases
        worker.drain()
        await client.rest()
        await worker.task
        await until(lambda: not worker.director.leases)


async def test_connections_are_told_and_who_is_under_an_embargo_is_not_let_in(
    tmp_path: Path,
) -> None:
    async with Server(Imap()) as server, running(hasty(server), tmp_path) as worker:
        await until(lambda: worker.director.line is not None)
        client = await worker.greeted()
        await until(lambda: worker.director.all(Connected) == [Connected("127.0.0.1")])
        worker.director.say(Embargo("127.0.0.1", 3600.0))
        with suppress(EOFError):
            while True:  # until the embargo has come
                (await worker.greeted()).close()
        other = await Peer.connect(worker.addresses[0], source="127.0.0.2")
        assert (await other.line()).startswith(b"* OK")
        for each in (client, other):
            each.close()


async def test_backends_that_are_learnt_later_are_looked_up(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Server(Imap()) as late, running(hasty(server), tmp_path) as worker:
        (await worker.logged_in()).close()
        backend = BackendSettings(name="late", host="localhost", ports={"imap": late.port})
        worker.director.shards = Shards([ShardSettings(name="s1", backend=(backend,))])
        worker.director.users.clear()
        worker.director.say(Catalogue([Place("late", "localhost", {"imap": late.port})]))
        await until(lambda: worker.worker._resolver.addresses("localhost"))
        client = await worker.logged_in()
        assert len(late.peers) == 1
        assert worker.number("backend_logins_total", "other", "ok") == 1
        client.close()


# --- limits ---


async def test_when_logins_are_full_the_one_that_has_waited_longest_is_closed(tmp_path: Path) -> None:
    async with (
        Server(Imap()) as server,
        running(hasty(server, node={"max_logins": 2, "login_patience": 0.0}), tmp_path) as worker,
    ):
        inside = await worker.logged_in()
        first, second = await worker.greeted(), await worker.greeted()
        third = await worker.greeted()
        assert await first.rest() == b""
        assert b"a OK" in await second.ask(login("bob"))
        assert b"a OK" in await third.ask(login("bob"))
        await inside.send(b"x\r\n")
        assert await inside.line() == b"echo x"
        await until(worker.lines)
        (line,) = worker.lines()
        assert (line["failure"], line["detail"], line["closed_by"]) == ("limit", "max_logins", "vestibule")
        for client in (inside, second, third):
            client.close()


@pytest.mark.parametrize("quiet", [0.0, 60.0])
async def test_newcomers_wait_in_the_queue_while_the_logins_that_are_full_are_young(
    tmp_path: Path, quiet: float
) -> None:
    async with Server(Imap()) as server, running(hasty(server, node={"max_logins": 2}), tmp_path) as worker:
        worker.worker._last_login -= quiet  # nobody has come for so long: a storm may begin at any time
        first, second = await worker.greeted(), await worker.greeted()
        late = await worker.connect()
        assert b"a OK" in await first.ask(login("bob"))
        assert (await late.line()).startswith(b"* OK")
        assert b"a OK" in await second.ask(login("bob"))
        assert b"a OK" in await late.ask(login("bob"))
        assert worker.lines() == []
        for client in (first, second, late):
            client.close()


async def test_an_attempt_that_waits_for_the_directory_never_gives_way(tmp_path: Path) -> None:
    people = People()
    people.held.clear()
    async with (
        Server(Imap()) as server,
        running(hasty(server, node={"max_logins": 1, "login_patience": 0.0}), tmp_path, people) as worker,
    ):
        first = await worker.greeted()
        await first.send(login("bob") + b"\r\n")
        await until(lambda: ("verify", "bob", PASSWORD.encode()) in people.asked)
        late = await worker.connect()
        for _ in range(10):  # the loop has seen the newcomer
            await asyncio.sleep(0)
        people.held.set()
        assert b"a OK" in await first.line()
        assert (await late.line()).startswith(b"* OK")
        assert worker.lines() == []
        for client in (first, late):
            client.close()


async def test_a_burst_beyond_the_limit_leaves_nothing_behind(tmp_path: Path) -> None:
    async with (
        Server(Imap()) as server,
        running(hasty(server, node={"max_logins": 2, "login_patience": 0.0}), tmp_path) as worker,
    ):
        clients = [socket.create_connection(worker.addresses[0]) for _ in range(12)]  # all are in the queue at once
        await until(lambda: worker.number("connections_total", "imap") == 12)
        await until(lambda: len(worker.lines()) == 10)
        await until(lambda: worker.number("sessions", "imap", "off") == 2)
        for client in clients:
            client.close()
        await until(lambda: worker.number("sessions", "imap", "off") == 0)


async def test_when_all_places_are_taken_by_users_nobody_new_comes_in(tmp_path: Path) -> None:
    async with Server(Imap()) as server, running(hasty(server, node={"max_connections": 2}), tmp_path) as worker:
        inside = [await worker.logged_in(), await worker.logged_in()]
        late = await worker.connect()
        assert await late.rest() == b""
        inside[0].close()
        await until(lambda: worker.number("sessions", "imap", "off") == 1)
        inside.append(await worker.logged_in())
        for client in inside:
            client.close()


async def test_without_a_setting_the_limit_on_descriptors_decides() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 0 < most_sessions() < soft / 2


# --- the end ---


async def test_when_told_to_end_it_says_goodbye_to_waiting_clients_and_lets_sessions_finish(tmp_path: Path) -> None:
    async with Server(Imap()) as server, running(hasty(server, drain=60.0), tmp_path) as worker:
        inside, waiting = await worker.logged_in(), await worker.greeted()
        address = worker.addresses[0]
        worker.drain()
        assert await waiting.rest() == b"* BYE [UNAVAILABLE] The mail proxy is restarting. Try again.\r\n"
        with pytest.raises(ConnectionRefusedError):
            await Peer.connect(address)
        await inside.send(b"still here\r\n")
        assert await inside.line() == b"echo still here"
        assert not worker.task.done()
        await inside.send(b"x LOGOUT\r\n")
        assert await inside.rest() == b""
        await asyncio.wait_for(worker.task, 10)
        assert sorted(line.get("failure", line["closed_by"]) for line in worker.lines()) == ["backend", "shutdown"]


async def test_when_the_time_to_drain_is_over_sessions_are_closed_and_logged(tmp_path: Path) -> None:
    async with Server(Imap()) as server, running(hasty(server, drain=0.0), tmp_path) as worker:
        inside = await worker.logged_in()
        worker.drain()
        assert await inside.rest() == b"* BYE [UNAVAILABLE] The mail proxy is restarting. Try again.\r\n"
        await asyncio.wait_for(worker.task, 10)
        assert [line["closed_by"] for line in worker.lines()] == ["shutdown"]


async def test_when_the_time_to_drain_is_over_who_is_within_a_command_is_closed_without_a_word(tmp_path: Path) -> None:
    async with Server(Imap()) as server, running(hasty(server, drain=0.0), tmp_path) as worker:
        inside, idle = await worker.logged_in(), await worker.logged_in()
        await inside.send(b"x APPEND inbox {2000}")
        await until(lambda: b"{2000}" in server.heard)
        worker.drain()
        assert (await idle.rest()).startswith(b"* BYE")
        assert await inside.rest() == b""
        await asyncio.wait_for(worker.task, 10)
        assert [line["closed_by"] for line in worker.lines()] == ["shutdown", "shutdown"]


async def test_a_login_under_way_is_finished_during_the_drain(tmp_path: Path) -> None:
    people = People()
    people.held.clear()
    async with Server(Imap()) as server, running(hasty(server, drain=60.0), tmp_path, people) as worker:
        client = await worker.greeted()
        await client.send(login() + b"\r\n")
        await until(lambda: people.asked and people.asked[-1][0] == "verify")
        worker.drain()
        people.held.set()
        assert b"a OK" in await client.answer(b"a")
        client.close()


async def test_without_sessions_it_ends_at_once(tmp_path: Path) -> None:
    async with Server(Imap()) as server, running(hasty(server, drain=3600.0), tmp_path) as worker:
        worker.drain()
        await asyncio.wait_for(worker.task, 10)


async def test_when_the_supervisor_is_gone_it_takes_nobody_in_and_its_sessions_live_on(tmp_path: Path) -> None:
    async with Server(Imap()) as server, running(hasty(server, drain=0.0), tmp_path) as worker:
        inside, waiting = await worker.logged_in(), await worker.greeted()
        address = worker.addresses[0]
        worker.line.close()
        assert (await waiting.rest()).startswith(b"* BYE [UNAVAILABLE]")
        with pytest.raises(ConnectionRefusedError):
            await Peer.connect(address)
        await inside.send(b"still here\r\n")
        assert await inside.line() == b"echo still here"
        inside.close()
        await asyncio.wait_for(worker.task, 10)


# --- orders ---


async def test_new_certificates_are_served_and_sessions_stay(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with Server(Imap()) as server:
        settings = with_listeners(hasty(server), {"protocol": "imap", "tls": "implicit"})
        settings = replace(settings, certificate=(certificates.files,))
        async with running(settings, tmp_path) as worker:
            old = await worker.connect()
            await old.start_tls(certificates.client("imap"), host="localhost")
            await old.line()
            renewed = certificates.authority.issue(tmp_path, "renewed", dns=("localhost",), ips=("127.0.0.1",))
            control.send(worker.line, control.Reload((read_pair(renewed),)))
            fresh = old
            while fresh.certificate == old.certificate:
                fresh = await worker.connect()
                await fresh.start_tls(certificates.client("imap"), host="localhost")
            assert b"a OK" in await old.ask(login())
            old.close()


async def test_the_log_is_opened_again_when_told_to_reload(tmp_path: Path) -> None:
    async with Server(Imap()) as server, running(hasty(server), tmp_path) as worker:
        (await worker.greeted()).close()
        await until(worker.lines)
        log = tmp_path / "worker.log"
        log.rename(tmp_path / "worker.log.1")
        control.send(worker.line, control.Reload(()))
        await until(log.exists)
        (await worker.greeted()).close()
        await until(lambda: len(worker.lines()) == 1)


async def test_a_log_that_cannot_be_opened_again_is_told_of_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Server(Imap()) as server, running(hasty(server), tmp_path) as worker:
        log = tmp_path / "worker.log"
        log.rename(tmp_path / "worker.log.1")
        log.mkdir()
        control.send(worker.line, control.Reload(()))
        await until(lambda: "cannot be opened again" in caplog.text)
        (await worker.greeted()).close()
        await until(lambda: (tmp_path / "worker.log.1").stat().st_size)


# --- a client that has closed its direction ---


class Watched:
    """A relay that is half closed, its far ends, and a clock that stands still."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.dispatcher = Dispatcher(asyncio.get_running_loop())
        self.dispatcher.now = self.clock
        self.client, near_client = tcp_pair()
        self.backend, near_backend = tcp_pair()
        self.closed_by = ""
        self.relay = Relay(self.dispatcher, self)
        ends = [End(self.relay, sock, READ, lambda count: None) for sock in (near_client, near_backend)]
        for end in ends:
            self.dispatcher.register(end.fd, end, READ)
        self.relay.start(ends[0], ends[1], b"", b"")
        self.timed = HalfClosed(self.relay, self.dispatcher, 60.0)
        self.dispatcher.timed[self.timed] = None

    def half_closed(self, relay: Relay) -> None:
        """Nothing to do."""

    def ended(self, relay: Relay, closed_by: str) -> None:
        """Remember why."""
        self.closed_by = closed_by

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and sweep."""
        self.clock.add(seconds)
        self.dispatcher.sweep()

    def close(self) -> None:
        """Close everything."""
        self.relay.end("test over")
        self.client.close()
        self.backend.close()


async def test_a_half_closed_session_ends_when_nothing_has_moved_for_a_while() -> None:
    watched = Watched()
    watched.pass_time(59)
    assert not watched.relay.over
    watched.pass_time(2)
    assert (watched.relay.over, watched.closed_by) == (True, "half_close")
    assert watched.timed not in watched.dispatcher.timed
    watched.close()


async def test_a_half_closed_session_lives_as_long_as_the_backend_sends() -> None:
    watched = Watched()
    for count in range(1, 4):
        await write(watched.backend, b"x" * 1000)
        await until(lambda count=count: watched.relay.backend.received == count * 1000)  # type: ignore[misc]
        watched.pass_time(61)
        assert not watched.relay.over
    watched.pass_time(61)
    assert watched.relay.over
    watched.close()


async def test_a_half_closed_session_that_has_ended_is_forgotten() -> None:
    watched = Watched()
    watched.relay.end("backend")
    watched.pass_time(61)
    assert watched.closed_by == "backend"
    assert watched.timed not in watched.dispatcher.timed
    watched.close()


async def test_a_silent_backend_of_a_client_that_has_left_is_not_kept_forever(tmp_path: Path) -> None:
    class Deaf(Imap):
        @staticmethod
        async def _echo(peer: Peer) -> None:
            await peer.rest()
            await asyncio.Event().wait()  # never closes

    async with Server(Deaf()) as server, running(hasty(server, timeouts={"half_close": 0.1}), tmp_path) as worker:
        client = await worker.logged_in()
        client.half_close()
        assert await client.rest() == b""
        await until(worker.lines)
        assert worker.lines()[0]["closed_by"] == "client"

"""The way to a backend: which one, how often, and what the director hears of it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import pytest

from director.wire import Assign, Report
from ldapmap import Entry
from proxy.backends import Backends, Ends, Link
from proxy.dispatcher import Dispatcher
from proxy.protocols.credentials import Credentials
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.login import Order
from proxy.protocols.origin import Origin
from proxy.protocols.secret import Secret
from proxy.recognition import Recognised
from proxy.record import Record
from proxy.resolver import Resolver
from proxy.routing import Route, order
from proxy.settings import BackendLoginSettings
from tests.proxy.front import PASSWORD, Clock, client_of, count_for, failing_after, meters_for, site, small_director
from tests.proxy.sockets import until
from tests.proxy.talk import Imap, Server, Talk, gone, says, silent
from tls import backend_context

ALICE = Entry("alice", "uid=alice,dc=example", "s1")
ORIGIN = Origin("192.0.2.7", 5555, "198.51.100.1", 993, "session1", 7, True)
ENDS = Ends(("192.0.2.7", 5555), ("198.51.100.1", 993))
GREETING = "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready"


class Bench:
    """One session's route to these servers, of which the first is preferred."""

    def __init__(self, *servers: Server, **sections: Any) -> None:
        settings = site(*servers, **sections)
        self.clock = Clock()
        self.dispatcher = Dispatcher(asyncio.get_running_loop())
        self.dispatcher.now = self.clock
        self.director = small_director(settings)
        self.client = client_of(self.director, self.clock)
        self.counters = count_for(settings)
        meters = meters_for(settings, self.counters)
        self.record = Record("session1", "imap", ENDS.client, meters, self.clock)
        backends = Backends(self.dispatcher, settings, backend_context(None, True), Resolver(["127.0.0.1"]))
        self.kicks: list[tuple[str, bool]] = []
        self.route = Route(settings, self.client, backends, "imap", meters, self.record, self._kicked)

    async def __aenter__(self) -> Bench:
        self.client.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()
        self.dispatcher.stop()

    async def reach(self, entry: Entry = ALICE, *, budget: float = 30.0) -> Link:
        """One login."""
        wanted = Order(entry.user, Secret(PASSWORD.encode()), origin=ORIGIN)
        return await self.route.reach(entry, wanted, ENDS, self.clock() + budget)

    async def fails(self, entry: Entry = ALICE, *, budget: float = 30.0) -> Failure:
        """Why a login fails; it never leaves a lease behind."""
        with pytest.raises(Failure) as failed:
            await self.reach(entry, budget=budget)
        assert self.route.lease is None
        assert not self.dispatcher.timed
        await until(lambda: not self.director.leases)
        return failed.value

    def counted(self, name: str) -> dict[tuple[str, ...], int]:
        """A family's series that are not zero."""
        (family,) = (family for family in self.counters.families if family.name == name)
        numbers = {labels: int(self.counters.number(name, labels)) for labels in family.values}
        return {labels: number for labels, number in numbers.items() if number}

    def _kicked(self, reason: str, now: bool) -> None:
        self.kicks.append((reason, now))
        self.route.kicked()


async def test_a_login_holds_a_lease_and_is_counted() -> None:
    async with Server(Imap()) as server, Bench(server) as bench:
        link = await bench.reach()
        assert bench.route.lease is not None
        assert bench.route.lease.backend.name == "mb1a"
        assert (bench.record.shard, bench.record.backend) == ("s1", "mb1a")
        (said,) = bench.director.all(Assign)
        assert said == Assign(1, "alice", "s1", "", "192.0.2.7", "imap", "session1", began=said.began)
        assert bench.counted("backend_connects_total") == {("mb1a", "ok"): 1}
        assert bench.counted("backend_logins_total") == {("mb1a", "ok"): 1}
        assert bench.counted("backend_untrusted_total") == {}
        assert bench.director.leases
        bench.route.give_back()
        bench.route.give_back()
        assert bench.route.lease is None
        await until(lambda: not bench.director.leases)
        link.channel.close()


async def test_a_backend_that_is_not_told_of_the_client_is_counted() -> None:
    async with Server(says(GREETING, "L OK in")) as server, Bench(server) as bench:
        (await bench.reach()).channel.close()
        assert bench.counted("backend_untrusted_total") == {("mb1a",): 1}


@pytest.mark.parametrize(
    ("first", "phase"),
    [
        (gone, "connect"),
        (says("220 smtp"), "connect"),
        (says("* BYE full"), "connect"),
        (says(GREETING, "L BAD"), "login"),
    ],
    ids=["closes", "smtp", "BYE", "BAD"],
)
async def test_a_backend_that_fails_is_tried_again_and_then_its_partner_is(first: Talk, phase: Any) -> None:
    imap = Imap()
    async with Server(first) as bad, Server(imap) as good, Bench(bad, good, director=failing_after(2)) as bench:
        link = await bench.reach()
        assert (len(bad.peers), len(good.peers)) == (2, 1)
        assert bench.record.backend == "mb1b"
        assert imap.logins == [("", "alice", PASSWORD)]
        assert [asked.failed for asked in bench.director.all(Assign)] == ["", "mb1a", "mb1a"]
        assert bench.director.all(Report) == [Report("mb1a", "alice", phase, False)] * 2
        link.channel.close()
        # The next user is not kept waiting.
        (await bench.reach(Entry("bob", "uid=bob", "s1"))).channel.close()
        assert (len(bad.peers), len(good.peers)) == (2, 2)


async def test_a_refused_connection_is_tried_again_too() -> None:
    async with Server(Imap()) as bad, Server(Imap()) as good, Bench(bad, good) as bench:
        bad.refuse()
        (await bench.reach()).channel.close()
        assert bench.record.backend == "mb1b"
        assert bench.counted("backend_connects_total") == {("mb1a", "backend_connect"): 2, ("mb1b", "ok"): 1}


async def test_a_backend_that_hangs_is_left_for_its_partner() -> None:
    async with Server(silent) as bad, Server(Imap()) as good, Bench(bad, good, director=failing_after(1)) as bench:
        reaching = asyncio.create_task(bench.reach())
        await until(lambda: bad.peers)
        for seconds in (3.1, 7.0):
            bench.clock.add(seconds)
            bench.dispatcher.sweep()
        (await reaching).channel.close()
        assert bench.record.backend == "mb1b"


async def test_there_is_a_pause_only_before_the_same_backend_is_tried_again() -> None:
    sections: dict[str, Any] = {"timeouts": {"retry_pause": 0.2}}
    loop = asyncio.get_running_loop()
    async with Server(gone) as bad, Server(Imap()) as good:
        async with Bench(bad, good, director=failing_after(2), **sections) as bench:
            began = loop.time()
            (await bench.reach()).channel.close()
            assert loop.time() - began >= 0.2
        async with Bench(bad, good, director=failing_after(1), timeouts={"retry_pause": 25.0}) as bench:
            (await asyncio.wait_for(bench.reach(), 10)).channel.close()


async def test_a_backend_that_asks_for_patience_is_tried_again_but_not_taken_for_sick() -> None:
    imap = Imap("NO [UNAVAILABLE] a moment", "NO [UNAVAILABLE] a moment")
    async with Server(imap) as server, Server(Imap()) as partner, Bench(server, partner) as bench:
        (await bench.reach()).channel.close()
        assert bench.record.backend == "mb1a"
        assert len(imap.logins) == 3
        assert not bench.director.all(Report)
        assert [asked.failed for asked in bench.director.all(Assign)] == ["", "mb1a", "mb1a"]


async def test_a_backend_that_works_again_is_reported_once() -> None:
    async with Server(Imap("BAD what")) as server, Bench(server) as bench:
        for _ in range(2):
            (await bench.reach()).channel.close()
        await until(lambda: len(bench.director.all(Report)) == 2)
        assert [report.ok for report in bench.director.all(Report)] == [False, True]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("NO no", Kind.BACKEND_REFUSED),
        ("NO [LIMIT] many", Kind.LIMIT),
        ("NO [SERVERBUG] oops", Kind.BACKEND_CONFIG),
        ("NO [INUSE] busy", Kind.BACKEND_CODE),
    ],
)
async def test_what_another_try_cannot_help_is_not_tried_again(answer: str, kind: Kind) -> None:
    imap = Imap(answer)
    async with (
        Server(imap) as server,
        Server(Imap()) as partner,
        Bench(server, partner, director=failing_after(1)) as bench,
    ):
        assert (await bench.fails()).kind is kind
        assert len(imap.logins) == 1
        assert not partner.peers
        assert not bench.director.all(Report)


async def test_tries_are_counted_and_the_last_failure_is_told() -> None:
    async with Server(gone) as server, Bench(server, director=failing_after(100)) as bench:
        assert (await bench.fails()).kind is Kind.BACKEND_CONNECT
        assert len(server.peers) == 4
        assert bench.counted("backend_connects_total") == {("mb1a", "backend_connect"): 4}


async def test_nothing_is_tried_again_when_the_time_is_over() -> None:
    async with (
        Server(gone) as server,
        Bench(server, director=failing_after(100), timeouts={"retry_pause": 5.0}) as bench,
    ):
        assert (await bench.fails(budget=4.0)).kind is Kind.BACKEND_CONNECT
        assert len(server.peers) == 1


async def test_when_all_are_down_there_is_no_backend_and_no_connection() -> None:
    async with Server(gone) as one, Server(gone) as other, Bench(one, other, director=failing_after(1)) as bench:
        failure = await bench.fails()
        assert failure.kind is Kind.NO_BACKEND
        assert "down" in failure.detail
        assert (len(one.peers), len(other.peers)) == (1, 1)
        assert (await bench.fails()).kind is Kind.NO_BACKEND
        assert (len(one.peers), len(other.peers)) == (1, 1)


async def test_a_shard_that_is_not_ours_is_never_connected_to() -> None:
    async with Server(Imap()) as server, Bench(server) as bench:
        for shard in ("s2", "evil.example", "localhost", ""):
            failure = await bench.fails(Entry("alice", "uid=alice", shard))
            assert failure.kind is Kind.NO_BACKEND
        assert not server.peers


REFUSALS: dict[Any, Kind] = {
    "no_shard": Kind.NO_BACKEND,
    "no_backend": Kind.NO_BACKEND,
    "unreachable": Kind.NO_BACKEND,
    "waited": Kind.NO_BACKEND,
    "full": Kind.NO_BACKEND,
    "store": Kind.NO_BACKEND,
    "limit_user": Kind.LIMIT,
    "limit_address": Kind.LIMIT,
    "limit_pair": Kind.LIMIT,
}


@pytest.mark.parametrize(("reason", "kind"), REFUSALS.items())
async def test_the_director_may_refuse_and_its_words_are_for_the_log(reason: Any, kind: Kind) -> None:
    async with Server(Imap()) as server, Bench(server) as bench:
        bench.director.refusals["alice"] = reason, "30 of 30"
        failure = await bench.fails()
        assert (failure.kind, failure.detail) == (kind, "30 of 30")
        assert not server.peers


async def test_without_a_director_a_login_waits_and_then_there_is_no_backend() -> None:
    async with Server(Imap()) as server:
        bench = Bench(server)
        bench.director.away = True
        async with bench:
            reaching = asyncio.create_task(bench.fails())
            await until(lambda: bench.director.calls)
            bench.clock.add(20.0)
            failure = await reaching
            assert (failure.kind, failure.detail) == (Kind.NO_BACKEND, "the director has not answered within 20 s")


# --- a lease that is taken back ---


@pytest.mark.parametrize("backend", [silent, says(GREETING)], ids=["greeting", "login"])
async def test_a_login_at_a_backend_that_goes_down_ends_at_once_and_goes_on_at_the_partner(backend: Talk) -> None:
    async with Server(backend) as old, Server(Imap()) as new, Bench(old, new) as bench:
        reaching = asyncio.create_task(bench.reach())
        await until(lambda: old.peers and (backend is silent or old.heard))
        bench.director.fail("mb1a")
        link = await asyncio.wait_for(reaching, 10)  # the clock has stood still: no deadline has passed
        assert bench.kicks == [("backend down", True)]
        assert bench.record.backend == "mb1b"
        assert not bench.director.all(Report)
        await old.finished()
        link.channel.close()


async def test_a_login_of_a_user_who_is_being_moved_ends_at_once_and_goes_on_there() -> None:
    imap = Imap()
    imap.held.clear()
    async with Server(imap) as old, Server(Imap()) as new, Bench(old, new, timeouts={"retries": 0}) as bench:
        reaching = asyncio.create_task(bench.reach())
        await until(lambda: imap.logins)
        bench.director.move("alice", "mb1b")
        link = await asyncio.wait_for(reaching, 10)
        assert bench.kicks == [("moved", False)]
        assert bench.record.backend == "mb1b"
        imap.held.set()
        await old.finished()
        link.channel.close()


async def test_a_lease_that_is_taken_back_before_it_has_come_is_not_used() -> None:
    async with Server(Imap()) as old, Server(Imap()) as new, Bench(old, new) as bench:
        bench.director.held = True
        reaching = asyncio.create_task(bench.reach())
        await until(lambda: bench.director.all(Assign))
        bench.director.give()
        bench.director.fail("mb1a")
        link = await reaching
        assert bench.record.backend == "mb1b"
        assert not old.peers
        link.channel.close()


async def test_a_login_that_succeeds_while_its_lease_is_taken_back_does_not_count() -> None:
    imap = Imap()
    imap.held.clear()
    async with Server(imap) as old, Server(Imap()) as new, Bench(old, new) as bench:
        reaching = asyncio.create_task(bench.reach())
        await until(lambda: imap.logins)
        lease = bench.route.lease
        assert lease is not None
        lease.kicked = "moved"  # as if the answer had been faster than what ends the login
        bench.director.down.add("mb1a")
        imap.held.set()
        link = await reaching
        assert bench.record.backend == "mb1b"
        await old.finished()
        link.channel.close()


async def test_a_pause_before_the_next_try_ends_at_once_too() -> None:
    async with (
        Server(gone) as old,
        Server(Imap()) as new,
        Bench(old, new, director=failing_after(9), timeouts={"retry_pause": 25.0}) as bench,
    ):
        reaching = asyncio.create_task(bench.reach())
        await until(lambda: len(bench.director.all(Assign)) == 2)
        bench.director.fail("mb1a")
        (await asyncio.wait_for(reaching, 10)).channel.close()
        assert len(old.peers) == 1


async def test_kicks_without_end_end_when_the_time_is_over() -> None:
    imap = Imap()
    imap.held.clear()
    async with Server(imap) as server, Bench(server) as bench:
        failing = asyncio.create_task(bench.fails(budget=5.0))
        for count in (1, 2):
            await until(lambda count=count: len(imap.logins) == count)  # type: ignore[misc]
            bench.clock.add(3.0)
            bench.director.kick("alice", now=True)
        failure = await failing
        assert (failure.kind, failure.detail) == (Kind.NO_BACKEND, "moved")


async def test_a_client_that_leaves_while_its_login_is_being_ended_is_not_kept() -> None:
    async with Server(silent) as server, Bench(server) as bench:
        reaching = asyncio.create_task(bench.reach())
        await until(lambda: server.peers)
        bench.route.kicked()
        reaching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reaching
        bench.route.kicked()
        await server.finished()


# --- what the backend is told ---

MASTER: dict[str, Any] = {"mode": "master", "master_user": "vestibule", "master_password": Secret(b"ours")}


def recognised(user: Entry = ALICE, by: Entry | None = None) -> Recognised:
    return Recognised(user, by or user, verified=True, name=user.user)


def ordered(who: Recognised, mechanism: str = "PLAIN", **login: Any) -> Order:
    credentials = Credentials(mechanism, "as typed", Secret(b"theirs"))
    return order(who, credentials, BackendLoginSettings(**login), ORIGIN)


def test_a_users_own_password_goes_with_the_canonical_name() -> None:
    made = ordered(recognised())
    assert (made.user, made.secret.reveal(), made.mechanism, made.master) == ("alice", b"theirs", "PLAIN", "")
    assert made.origin is ORIGIN


def test_the_directory_may_have_another_name_for_the_backend() -> None:
    entry = Entry("alice", "uid=alice", "s1", login="a.liddell")
    assert ordered(recognised(entry)).user == "a.liddell"


def test_a_users_master_goes_with_its_own_password() -> None:
    master = Entry("postmaster", "uid=postmaster", "s1")
    made = ordered(recognised(by=master))
    assert (made.user, made.master, made.secret.reveal()) == ("alice", "postmaster", b"theirs")
    named = Entry("postmaster", "uid=postmaster", "s1", login="pm")
    assert ordered(recognised(by=named)).master == "pm"


def test_our_master_user_goes_with_our_password_in_either_form() -> None:
    made = ordered(recognised(), **MASTER)
    assert (made.user, made.master, made.secret.reveal()) == ("alice", "vestibule", b"ours")
    made = ordered(recognised(), master_form="separator", **MASTER)
    assert (made.user, made.master, made.secret.reveal()) == ("alice*vestibule", "", b"ours")


def test_without_a_master_password_it_is_our_fault() -> None:
    with pytest.raises(Failure) as failed:
        ordered(recognised(), mode="master", master_user="vestibule")
    assert failed.value.kind is Kind.OWN_CONFIG


@pytest.mark.parametrize("login", [{}, MASTER])
def test_a_token_goes_on_as_it_came(login: dict[str, Any]) -> None:
    made = ordered(recognised(), "OAUTHBEARER", **login)
    assert (made.user, made.secret.reveal(), made.mechanism, made.master) == ("alice", b"theirs", "OAUTHBEARER", "")


def test_a_backend_is_told_of_the_client_only_if_that_is_wanted() -> None:
    assert ordered(recognised(), forward_client=False).origin is None


def test_our_master_user_never_goes_for_somebody_whose_password_nobody_has_judged() -> None:
    who = Recognised(ALICE, ALICE, verified=False, name="alice")
    with pytest.raises(Failure) as failed:
        ordered(who, **MASTER)
    assert failed.value.kind is Kind.OWN_CONFIG
    assert ordered(who).secret.reveal() == b"theirs"

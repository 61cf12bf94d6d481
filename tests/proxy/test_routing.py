"""The way to a backend: which one, how often, and what the director hears of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from director import Director, NoBackend, Shards
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
from tests.proxy.front import PASSWORD, Clock, count_for, meters_for, site
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
        self.director = Director(settings.director, Shards(settings.shard), self.clock)
        self.counters = count_for(settings)
        meters = meters_for(settings, self.counters)
        self.record = Record("session1", "imap", ENDS.client, meters, self.clock)
        backends = Backends(self.dispatcher, settings, backend_context(None, True), Resolver(["127.0.0.1"]))
        self.revoked: list[str] = []
        self.route = Route(settings, self.director, backends, "imap", meters, self.record, self._revoked)

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
        return failed.value

    def counted(self, name: str) -> dict[tuple[str, ...], int]:
        """A family's series that are not zero."""
        (family,) = (family for family in self.counters.families if family.name == name)
        numbers = {labels: int(self.counters.number(name, labels)) for labels in family.values}
        return {labels: number for labels, number in numbers.items() if number}

    def _revoked(self, reason: str) -> None:
        self.revoked.append(reason)
        self.route.revoked(reason)


async def test_a_login_holds_a_lease_and_is_counted() -> None:
    async with Server(Imap()) as server:
        bench = Bench(server)
        link = await bench.reach()
        assert bench.route.lease is not None
        assert bench.route.lease.backend.name == "mb1a"
        assert (bench.record.shard, bench.record.backend) == ("s1", "mb1a")
        assert bench.counted("backend_connects_total") == {("mb1a", "ok"): 1}
        assert bench.counted("backend_logins_total") == {("mb1a", "ok"): 1}
        assert bench.counted("backend_untrusted_total") == {}
        bench.route.give_back()
        bench.route.give_back()
        assert bench.route.lease is None
        link.channel.close()


async def test_a_backend_that_is_not_told_of_the_client_is_counted() -> None:
    async with Server(says(GREETING, "L OK in")) as server:
        bench = Bench(server)
        (await bench.reach()).channel.close()
        assert bench.counted("backend_untrusted_total") == {("mb1a",): 1}


@pytest.mark.parametrize(
    "first",
    [gone, says("220 smtp"), says("* BYE full"), says(GREETING, "L BAD what")],
    ids=["closes", "smtp", "BYE", "BAD"],
)
async def test_a_backend_that_fails_is_tried_again_and_then_its_partner_is(first: Talk) -> None:
    imap = Imap()
    async with Server(first) as bad, Server(imap) as good:
        bench = Bench(bad, good, director={"failures_to_down": 2})
        link = await bench.reach()
        assert (len(bad.peers), len(good.peers)) == (2, 1)
        assert bench.record.backend == "mb1b"
        assert imap.logins == [("", "alice", PASSWORD)]
        link.channel.close()
        # The next user is not kept waiting.
        (await bench.reach(Entry("bob", "uid=bob", "s1"))).channel.close()
        assert (len(bad.peers), len(good.peers)) == (2, 2)


async def test_a_refused_connection_is_tried_again_too() -> None:
    async with Server(Imap()) as bad, Server(Imap()) as good:
        bad.refuse()
        bench = Bench(bad, good)
        (await bench.reach()).channel.close()
        assert bench.record.backend == "mb1b"
        assert bench.counted("backend_connects_total") == {("mb1a", "backend_connect"): 2, ("mb1b", "ok"): 1}


async def test_a_backend_that_hangs_is_left_for_its_partner() -> None:
    async with Server(silent) as bad, Server(Imap()) as good:
        bench = Bench(bad, good, director={"failures_to_down": 1})
        reaching = asyncio.create_task(bench.reach())
        await until(lambda: bad.peers)
        for seconds in (3.1, 7.0):
            bench.clock.add(seconds)
            bench.dispatcher.sweep()
        (await reaching).channel.close()
        assert bench.record.backend == "mb1b"


async def test_a_backend_that_asks_for_patience_is_tried_again_but_not_taken_for_sick() -> None:
    imap = Imap("NO [UNAVAILABLE] a moment", "NO [UNAVAILABLE] a moment")
    async with Server(imap) as server, Server(Imap()) as partner:
        bench = Bench(server, partner)
        (await bench.reach()).channel.close()
        assert bench.record.backend == "mb1a"
        assert len(imap.logins) == 3


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
    async with Server(imap) as server, Server(Imap()) as partner:
        bench = Bench(server, partner, director={"failures_to_down": 1})
        assert (await bench.fails()).kind is kind
        assert len(imap.logins) == 1
        assert not partner.peers
        assert bench.director.explain("bob", "s1", "").chosen == bench.director.explain("bob", "s1", "mb1a").chosen


async def test_tries_are_counted_and_the_last_failure_is_told() -> None:
    async with Server(gone) as server:
        bench = Bench(server, director={"failures_to_down": 100})
        assert (await bench.fails()).kind is Kind.BACKEND_CONNECT
        assert len(server.peers) == 4
        assert bench.counted("backend_connects_total") == {("mb1a", "backend_connect"): 4}


async def test_nothing_is_tried_again_when_the_time_is_over() -> None:
    async with Server(gone) as server:
        bench = Bench(server, director={"failures_to_down": 100}, timeouts={"retry_pause": 5.0})
        assert (await bench.fails(budget=4.0)).kind is Kind.BACKEND_CONNECT
        assert len(server.peers) == 1


async def test_when_all_are_down_there_is_no_backend_and_no_connection() -> None:
    async with Server(gone) as one, Server(gone) as other:
        bench = Bench(one, other, director={"failures_to_down": 1})
        failure = await bench.fails()
        assert failure.kind is Kind.NO_BACKEND
        assert "down" in failure.detail
        assert (len(one.peers), len(other.peers)) == (1, 1)
        with pytest.raises(NoBackend):
            await bench.director.assign("alice", "s1", "", lambda reason: None)


async def test_a_shard_that_is_not_ours_is_never_connected_to() -> None:
    async with Server(Imap()) as server:
        bench = Bench(server)
        for shard in ("s2", "evil.example", "localhost", ""):
            failure = await bench.fails(Entry("alice", "uid=alice", shard))
            assert failure.kind is Kind.NO_BACKEND
        assert not server.peers


async def test_a_lease_that_is_revoked_during_the_login_ends_it() -> None:
    imap = Imap()
    imap.held.clear()
    async with Server(imap) as old, Server(Imap()) as new:
        bench = Bench(old, new, director={"failures_to_down": 1})
        reaching = asyncio.create_task(bench.reach())
        await until(lambda: imap.logins)
        other = await bench.director.assign("bob", "s1", "", lambda reason: None)
        bench.director.report_failure(other)
        imap.held.set()
        link = await reaching
        assert bench.revoked == ["backend down"]
        assert bench.record.backend == "mb1b"  # another lease, elsewhere
        await old.finished()
        link.channel.close()


async def test_a_login_whose_user_has_gone_elsewhere_in_the_meantime_does_not_succeed() -> None:
    imap = Imap()
    imap.held.clear()
    async with Server(imap) as server:
        bench = Bench(server)
        reaching = asyncio.create_task(bench.reach())
        await until(lambda: imap.logins)
        bench.route.revoked("route changed")
        imap.held.set()
        with pytest.raises(Failure) as failed:
            await reaching
        assert (failed.value.kind, failed.value.detail) == (Kind.NO_BACKEND, "route changed")
        assert bench.route.lease is None
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

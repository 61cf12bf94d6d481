"""What a worker's client says to the director, what it does when it hears, and what it does when it hears nothing."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from director import Client, Lease, Limited, NoBackend, NoDirector, Shards, Unreachable
from director.wire import (
    VERSION,
    Announce,
    Announced,
    Assign,
    Attempt,
    Catalogue,
    Connected,
    Embargo,
    Failed,
    Grant,
    Hello,
    Kick,
    Passed,
    Place,
    Refuse,
    Release,
    Report,
    ToWorker,
    Wait,
    Wary,
    Welcome,
)
from tests.director.examples import Clock, shard_settings
from tests.director.far_end import FarEnd
from tests.director.small import SmallDirector

PLACES = [Place("mb1a", "mb1a.example", {}), Place("mb1b", "192.0.2.2", {"imap": 1143})]


class Told:
    """An `on_kick` that remembers what it was told."""

    def __init__(self) -> None:
        self.kicks: list[tuple[str, bool]] = []

    def __call__(self, reason: str, now: bool) -> None:
        self.kicks.append((reason, now))


class Bench:
    """A client with a scripted director at the other end, and a clock that goes when told."""

    def __init__(self, end: FarEnd | None = None) -> None:
        self.clock = Clock()
        self.end = end or FarEnd()
        self.client = Client("director.sock", "0/77/cafe", 3, self.clock, wait=20.0, dial=self.end.dial)
        self.client.start()

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the loop turn until the condition holds."""

        async def turning() -> None:
            while not condition():
                await asyncio.sleep(0)

        await asyncio.wait_for(turning(), 10)

    async def turns(self, count: int = 5) -> None:
        """Let the loop turn a little."""
        for _ in range(count):
            await asyncio.sleep(0)

    async def welcomed(self) -> None:
        """The line is there, and the backends are known."""
        await self.until(lambda: Announced() in self.end.heard)
        await self.say(Welcome(VERSION, "front1/1"), Catalogue(PLACES))

    async def say(self, *messages: ToWorker) -> None:
        """The director says this, and it is heard."""
        self.end.say(*messages)
        await self.turns()

    def assign(self, user: str = "alice", told: Told | None = None, **more: Any) -> asyncio.Task[Lease]:
        """A session that wants a lease."""
        values: dict[str, Any] = {"address": "192.0.2.7", "protocol": "imap", "session": "s1", **more}
        on_kick = told if told is not None else Told()
        return asyncio.create_task(self.client.assign(user, "s1", "mb1b", on_kick=on_kick, **values))

    async def lease(self, told: Told | None = None, backend: str = "mb1a") -> Lease:
        """A session that has been given a lease."""
        asking = self.assign(told=told)
        await self.turns()
        await self.say(Grant(self.end.all(Assign)[-1].lease, backend, "s1", "hash", 7))
        return await asking


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.welcomed()
    yield bench
    await bench.client.close()


# --- leases ---


async def test_a_lease_is_asked_for_given_and_released_once(bench: Bench) -> None:
    asking = bench.assign(failed="mb1b")
    await bench.turns()
    (said,) = bench.end.all(Assign)
    assert said.began == pytest.approx(time.time(), abs=60)
    asked = Assign(1, "alice", "s1", "mb1b", "192.0.2.7", "imap", "s1", "mb1b", said.began)
    assert bench.end.heard == [Hello(VERSION, "0/77/cafe", 3), Announced(), asked]
    await bench.say(Grant(1, "mb1b", "s1", "hash", 7))
    lease = await asking
    assert (lease.user, lease.shard, lease.why, lease.epoch, lease.kicked) == ("alice", "s1", "hash", 7, "")
    assert (lease.backend.name, lease.backend.host, lease.backend.ports) == ("mb1b", "192.0.2.2", {"imap": 1143})
    bench.client.release(lease)
    bench.client.release(lease)
    await bench.until(lambda: bench.end.all(Release))
    assert bench.end.all(Release) == [Release(1)]


async def test_what_needs_no_answer_goes_out_with_what_does(bench: Bench) -> None:
    lease = await bench.lease()
    bench.client.release(lease)
    assert bench.client.connected("192.0.2.7")
    before, pieces = len(bench.end.heard), len(bench.end.pieces)
    asking = bench.assign("bob")
    await bench.turns()
    assert [type(message) for message in bench.end.heard[before:]] == [Release, Connected, Assign]
    assert len(bench.end.pieces) == pieces + 1
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_the_end_of_a_session_that_had_to_end_is_said_at_once(bench: Bench) -> None:
    lease = await bench.lease()
    await bench.say(Kick(1, "moved", False))
    bench.client.release(lease)
    await bench.turns()
    assert bench.end.all(Release) == [Release(1)]


async def test_what_is_said_in_one_turn_goes_out_in_one_piece(bench: Bench) -> None:
    before = len(bench.end.pieces)
    asking = [bench.assign(f"user{number}") for number in range(50)]
    await bench.turns()
    assert len(bench.end.all(Assign)) == 50
    assert len(bench.end.pieces) == before + 1
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_leases_share_what_they_can(bench: Bench) -> None:
    one, other = await bench.lease(), await bench.lease()
    assert one.backend is other.backend
    assert one.shard is other.shard
    assert one.why is other.why
    assert not hasattr(one, "__dict__")


async def test_a_refusal_is_raised_with_its_reason(bench: Bench) -> None:
    asking = bench.assign()
    await bench.turns()
    await bench.say(Refuse(1, "limit_pair", "30 sessions, as many as may be", 2.0))
    with pytest.raises(Limited, match="30 sessions") as refused:
        await asking
    assert (refused.value.limit, refused.value.wait) == ("pair", 2.0)
    await bench.turns()
    assert not bench.end.all(Release)


async def test_a_backend_that_the_director_has_not_told_of_is_not_used(bench: Bench) -> None:
    asking = bench.assign()
    await bench.turns()
    await bench.say(Grant(1, "mb9", "s1", "hash", 1))
    with pytest.raises(NoBackend, match="mb9"):
        await asking
    assert bench.end.all(Release) == [Release(1)]


async def test_who_is_cancelled_while_waiting_gives_up_and_a_late_grant_is_no_lease(bench: Bench) -> None:
    asking = bench.assign()
    await bench.turns()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await bench.say(Grant(1, "mb1a", "s1", "hash", 1))
    assert bench.end.all(Release) == [Release(1)]
    bench.end.hang_up()
    await bench.until(lambda: bench.end.calls == 2)
    await bench.turns()
    assert not bench.end.all(Announce)


async def test_who_is_cancelled_when_the_lease_has_just_come_gives_it_back(bench: Bench) -> None:
    asking = bench.assign()
    await bench.turns()
    bench.end.say(Grant(1, "mb1a", "s1", "hash", 1))
    asyncio.get_running_loop().call_soon(asking.cancel)
    with pytest.raises(asyncio.CancelledError):
        await asking
    await bench.turns()
    assert bench.end.all(Release) == [Release(1)]


async def test_who_is_cancelled_before_the_lease_comes_in_the_same_turn_gives_it_back(bench: Bench) -> None:
    asking = bench.assign()
    await bench.turns()
    asyncio.get_running_loop().call_soon(asking.cancel)
    bench.end.say(Grant(1, "mb1a", "s1", "hash", 1))
    with pytest.raises(asyncio.CancelledError):
        await asking
    await bench.turns()
    assert bench.end.all(Release) == [Release(1)]


async def test_who_gets_no_answer_in_time_is_told_so(bench: Bench) -> None:
    asking = bench.assign()
    await bench.turns()
    bench.clock.now += 19.9
    late = bench.assign("bob")
    await bench.turns()
    bench.clock.now += 0.1
    with pytest.raises(NoDirector, match="within 20 s"):
        await asyncio.wait_for(asking, 10)
    assert not late.done()
    await bench.turns()
    assert bench.end.all(Release) == [Release(1)]
    await bench.say(Grant(2, "mb1a", "s1", "hash", 1))
    await late


async def test_an_ended_sessions_lease_keeps_nothing_of_it(bench: Bench) -> None:
    told = Told()
    seen = weakref.ref(told)
    lease = await bench.lease(told)
    bench.client.release(lease)
    del told
    gc.collect()
    assert seen() is None


# --- kicks ---


async def test_a_kick_is_told_as_often_as_it_comes_until_the_lease_is_released(bench: Bench) -> None:
    told = Told()
    lease = await bench.lease(told)
    await bench.say(Kick(1, "moved", False), Kick(1, "backend down", True), Kick(99, "moved", True))
    assert told.kicks == [("moved", False), ("backend down", True)]
    assert lease.kicked == "backend down"
    bench.client.release(lease)
    await bench.say(Kick(1, "moved", True))
    assert len(told.kicks) == 2


async def test_a_kick_right_behind_the_grant_is_told_and_is_seen_in_the_lease(bench: Bench) -> None:
    told = Told()
    asking = bench.assign(told=told)
    await bench.turns()
    bench.end.say(Grant(1, "mb1a", "s1", "hash", 1), Kick(1, "", True))
    lease = await asking
    assert lease.kicked == "kicked"
    assert told.kicks == [("kicked", True)]


async def test_a_session_that_fails_to_end_harms_no_other(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Told):
        def __call__(self, reason: str, now: bool) -> None:
            raise ZeroDivisionError

    told = Told()
    await bench.lease(Broken())
    await bench.lease(told)
    await bench.say(Kick(1, "moved", True), Kick(2, "moved", True))
    assert told.kicks == [("moved", True)]
    assert "session s1: an error of ours" in caplog.text


# --- the line ---


async def test_a_new_director_is_told_of_all_leases_and_asked_again_what_is_not_answered(bench: Bench) -> None:
    lease, gone = await bench.lease(), await bench.lease()
    waiting = bench.assign("bob")
    await bench.turns()
    bench.end.hang_up()
    await bench.turns()
    bench.client.release(gone)  # nobody hears it, and nobody has to
    also = bench.assign("carol")
    bench.end.heard.clear()
    await bench.until(lambda: bench.end.calls == 2)
    await bench.turns()
    hello, announced, *rest = bench.end.heard
    assert hello == Hello(VERSION, "0/77/cafe", 3)
    assert isinstance(announced, Announce)
    assert announced == Announce(1, "alice", "mb1a", "s1", 7, "192.0.2.7", "imap", "s1", announced.began)
    assert abs(announced.began - time.time()) < 3600
    assert rest[0] == Announced()
    assert [message.user for message in rest[1:] if isinstance(message, Assign)] == ["bob", "carol"]
    await bench.say(Catalogue(PLACES), Grant(3, "mb1a", "s1", "hash", 1), Grant(4, "mb1a", "s1", "hash", 1))
    await waiting
    await also
    bench.client.release(lease)
    await bench.until(lambda: bench.end.all(Release))
    assert bench.end.all(Release) == [Release(1)]


async def test_a_login_waits_for_a_director_that_is_not_there_yet(caplog: pytest.LogCaptureFixture) -> None:
    end = FarEnd()
    end.away = True
    bench = Bench(end)
    asking = bench.assign()
    await bench.until(lambda: end.calls >= 3)
    assert caplog.text.count("the director cannot be reached at director.sock: Connection refused") == 1
    end.away = False
    await bench.until(lambda: end.all(Assign))
    await bench.say(Welcome(VERSION, "front1/1"), Catalogue(PLACES), Grant(1, "mb1a", "s1", "hash", 1))
    assert (await asking).backend.name == "mb1a"
    assert "the director is there again: front1/1" in caplog.text
    await bench.client.close()


@pytest.mark.parametrize("said", [b"\x00\x00\x00\x01x", b"\xff\xff\xff\xff", b"HTTP/1.1 400 Bad Request\r\n"])
async def test_who_speaks_something_else_is_left_alone_for_a_while_and_sessions_go_on(
    bench: Bench, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    await bench.lease(told)
    bench.end.say_bytes(said)
    await bench.until(lambda: bench.end.calls == 2)
    assert "what we do not understand" in caplog.text
    assert not told.kicks
    await bench.turns()
    assert bench.end.all(Announce)


async def test_a_director_of_another_version_is_left_alone(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.end.say(Welcome(VERSION + 1, "front1/1"))
    await bench.until(lambda: bench.end.calls == 2)
    assert f"its version is {VERSION + 1}, ours {VERSION}" in caplog.text


async def test_without_a_line_nothing_waits_but_logins(bench: Bench) -> None:
    lease = await bench.lease()
    bench.end.hang_up()
    await bench.turns()
    bench.end.heard.clear()
    assert bench.client.connected("192.0.2.7")
    assert await bench.client.failed("alice", "192.0.2.7") == 0.0
    bench.client.passed("alice", "192.0.2.7")
    bench.client.report(lease, "login", ok=False)
    await bench.until(lambda: bench.end.calls == 2)
    await bench.turns()
    assert [type(message) for message in bench.end.heard] == [Hello, Announce, Announced]


async def test_closing_says_what_is_still_to_be_said_and_leaves_nobody_waiting() -> None:
    bench = Bench()
    await bench.welcomed()
    lease = await bench.lease()
    asking, failing = bench.assign("bob"), asyncio.create_task(bench.client.failed("bob", "192.0.2.7"))
    await bench.turns()
    bench.client.release(lease)
    await bench.client.close()
    with pytest.raises(NoDirector):
        await asking
    assert await failing == 0.0
    assert bench.end.line is not None
    assert not bench.end.line.open
    assert b"".join(bench.end.pieces).endswith(b"\x91\x92\x05\x01")  # a list of one Release
    await bench.client.close()


async def test_a_client_may_be_closed_at_any_moment() -> None:
    for turns in range(6):
        bench = Bench()
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(bench.client.close(), 10)
        assert bench.end.line is None or not bench.end.line.open


async def test_what_was_said_before_the_line_was_lost_in_the_same_turn_does_no_harm(bench: Bench) -> None:
    bench.end.hang_up()
    await asyncio.sleep(0)
    bench.client.passed("alice", "192.0.2.7")
    await bench.turns()
    assert not bench.end.all(Passed)


# --- backends ---


async def test_whoever_wants_to_know_is_told_of_all_backends_and_leases_keep_theirs(bench: Bench) -> None:
    told: list[list[str]] = []
    bench.client.on_backends = lambda backends: told.append([backend.host for backend in backends.values()])
    first = await bench.lease()
    await bench.say(Catalogue([*PLACES, Place("mb1c", "mb1c.example", {})]))
    assert told == [["mb1a.example", "192.0.2.2", "mb1c.example"]]
    assert (await bench.lease()).backend is first.backend
    await bench.say(Catalogue([Place("mb1a", "elsewhere.example", {})]))
    assert (await bench.lease()).backend.host == "elsewhere.example"
    assert first.backend.host == "mb1a.example"


async def test_success_is_told_only_of_backends_that_were_said_to_fail(bench: Bench) -> None:
    lease = await bench.lease()
    bench.client.report(lease, "login", ok=True)
    bench.client.report(lease, "connect", ok=False)
    bench.client.report(lease, "login", ok=False)
    bench.client.report(lease, "login", ok=True)
    bench.client.report(lease, "login", ok=True)
    await bench.turns()
    assert bench.end.all(Report) == [
        Report("mb1a", "alice", "connect", False),
        Report("mb1a", "alice", "login", False),
        Report("mb1a", "alice", "login", True),
    ]


# --- failed logins and floods ---


async def test_connections_and_good_passwords_are_told(bench: Bench) -> None:
    assert bench.client.connected("2001:db8::1")
    bench.client.passed("alice", "2001:db8::1")
    await bench.until(lambda: bench.end.all(Passed))
    assert bench.end.heard[-2:] == [Connected("2001:db8::1"), Passed("alice", "2001:db8::1")]


async def test_an_embargoed_address_may_not_stay_for_that_time(bench: Bench) -> None:
    await bench.say(Embargo("2001:db8::/64", 5.0))
    assert not bench.client.connected("2001:db8::9")
    assert bench.client.connected("192.0.2.7")
    bench.clock.now += 5.0
    assert bench.client.connected("2001:db8::9")
    await bench.until(lambda: bench.end.all(Connected))
    assert [told.address for told in bench.end.all(Connected)] == ["192.0.2.7", "2001:db8::9"]


async def test_an_attempt_is_asked_about_only_while_the_director_wants_it(bench: Bench) -> None:
    assert await bench.client.attempt("alice", "192.0.2.7") == 0.0
    await bench.say(Wary("alice", "", 5.0))
    asking = asyncio.create_task(bench.client.attempt("alice", "192.0.2.7"))
    await bench.turns()
    (asked,) = bench.end.all(Attempt)
    assert (asked.name, asked.address) == ("alice", "192.0.2.7")
    await bench.say(Wait(asked.request, 1.5))
    assert await asking == 1.5
    bench.clock.now += 5.0
    assert await bench.client.attempt("alice", "192.0.2.7") == 0.0


async def test_a_failed_login_is_told_and_the_answer_is_how_long_to_wait(bench: Bench) -> None:
    failing = asyncio.create_task(bench.client.failed("alice", "192.0.2.7"))
    await bench.turns()
    (told,) = bench.end.all(Failed)
    assert (told.name, told.address) == ("alice", "192.0.2.7")
    await bench.say(Wait(told.request, 4.0), Wait(told.request, 9.0), Wait(99, 9.0))
    assert await failing == 4.0


async def test_no_login_fails_because_a_question_about_it_is_not_answered(bench: Bench) -> None:
    silent = asyncio.create_task(bench.client.failed("alice", "192.0.2.7"))
    await bench.turns()
    bench.clock.now += 2.0
    assert await asyncio.wait_for(silent, 10) == 0.0
    cut = asyncio.create_task(bench.client.failed("alice", "192.0.2.7"))
    await bench.turns()
    bench.end.hang_up()
    assert await asyncio.wait_for(cut, 10) == 0.0


# --- with a director ---


async def test_a_session_whose_backend_fails_goes_to_the_partner_and_the_others_are_told() -> None:
    small = SmallDirector(Shards([shard_settings("s1", mb1a=1, mb1b=2)]), failures_to_down=1)
    bench = Bench(small)
    staying = Told()
    await bench.assign("bob", staying)
    lease = await bench.assign("alice")
    bench.client.report(lease, "connect", ok=False)
    bench.client.release(lease)
    again = await bench.assign("alice", failed=lease.backend.name)
    assert (lease.backend.name, again.backend.name, again.why) == ("mb1b", "mb1a", "failover")
    assert staying.kicks == [("backend down", True)]
    await bench.client.close()


async def test_every_refusal_reaches_the_session() -> None:
    small = SmallDirector(Shards([shard_settings("s1", mb1a=1)]))
    bench = Bench(small)
    small.refusals["alice"] = "unreachable", "only this node cannot reach it"
    with pytest.raises(Unreachable, match="only this node"):
        await bench.assign("alice")
    await bench.client.close()

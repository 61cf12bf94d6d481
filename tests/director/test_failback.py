"""Users go home when it has stood for a while and has caught up, the idle ones first."""

from dataclasses import MISSING, fields

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from director.failback import Failback, FailbackSettings, Return


def failback(gated: bool = False, **settings: float) -> Failback:
    """Users of one home, `a`, that has been up since 0 and is stable at once."""
    book = Failback(FailbackSettings(**{"failback_after": 0.0, **settings}))  # type: ignore[arg-type]
    book.homes({"a": gated})
    book.up("a", 0.0)
    return book


def test_every_key_is_explained_and_its_default_is_within_its_limits() -> None:
    for setting in fields(FailbackSettings):
        assert setting.metadata["doc"].endswith(".")
        assert setting.default is not MISSING
        assert setting.metadata["min"] <= setting.default <= setting.metadata["max"]


# --- stability -----------------------------------------------------------------------------------------------------


def test_users_return_when_home_has_been_up_for_long_enough() -> None:
    book = failback(failback_after=300.0)
    book.away("alice", "a", False)
    book.up("a", 200.0)
    assert book.phase("a", 299.0) == "settling"
    assert book.due(299.0) == ()
    assert book.phase("a", 300.0) == "returning"
    assert book.due(300.0) == (Return("alice", "a", False),)


def test_an_outage_begins_the_time_anew() -> None:
    book = failback(failback_after=300.0)
    book.away("alice", "a", False)
    book.down("a")
    assert book.phase("a", 400.0) == "down"
    assert book.due(400.0) == ()
    book.up("a", 400.0)
    assert book.due(699.0) == ()
    assert len(book.due(700.0)) == 1


def test_homes_that_are_not_known_are_ignored() -> None:
    book = failback()
    book.up("z", 0.0)
    book.down("z")
    book.word("z", True, 0.0)
    assert not book.away("alice", "z", False)
    assert book.phase("z", 0.0) == "down"
    assert len(book) == 0


# --- the gate ------------------------------------------------------------------------------------------------------


def test_a_gate_is_asked_when_users_wait_for_it() -> None:
    book = failback(gated=True, failback_after=60.0)
    assert book.ask(60.0) == ()
    book.away("alice", "a", False)
    assert book.ask(59.0) == ()
    assert book.ask(60.0) == ("a",)
    assert book.ask(69.0) == ()
    assert book.ask(70.0) == ("a",)
    assert book.phase("a", 70.0) == "gate"
    assert book.due(70.0) == ()


def test_users_return_while_the_last_word_counts() -> None:
    book = failback(gated=True, word_lasts=30.0, group=1)
    for user in ("alice", "bob", "carol"):
        book.away(user, "a", False)
    assert book.ask(0.0) == ("a",)
    book.word("a", True, 0.0)
    assert len(book.due(5.0)) == 1
    book.done("alice", True, 5.0)
    assert book.ask(14.9) == ()
    assert book.ask(15.0) == ("a",)
    assert len(book.due(29.9)) == 1
    book.done("bob", True, 29.9)
    assert book.due(30.0) == ()
    book.word("a", True, 15.0)
    assert len(book.due(30.0)) == 1


def test_a_gate_that_says_no_stops_everybody() -> None:
    book = failback(gated=True)
    book.away("alice", "a", False)
    book.word("a", True, 1.0)
    book.word("a", False, 2.0)
    book.word("a", True, 1.5)
    assert book.due(3.0) == ()
    assert book.phase("a", 3.0) == "gate"


def test_a_word_from_before_an_outage_does_not_count() -> None:
    book = failback(gated=True)
    book.away("alice", "a", False)
    book.word("a", True, 10.0)
    book.down("a")
    book.word("a", True, 10.0)
    book.up("a", 20.0)
    assert book.due(20.0) == ()
    book.word("a", True, 19.0)
    assert book.due(20.0) == ()
    assert book.ask(20.0) == ("a",)
    book.word("a", True, 20.0)
    assert len(book.due(20.0)) == 1


def test_a_gate_that_is_taken_away_no_longer_holds_anybody() -> None:
    book = failback(gated=True)
    book.away("alice", "a", False)
    assert book.due(0.0) == ()
    book.homes({"a": False})
    assert book.ask(0.0) == ()
    assert len(book.due(0.0)) == 1


# --- who and when --------------------------------------------------------------------------------------------------


def test_idle_users_go_first_and_live_ones_when_they_are_home() -> None:
    book = failback()
    book.away("live", "a", True)
    book.away("idle", "a", False)
    assert book.due(0.0) == (Return("idle", "a", False),)
    assert book.due(0.0) == ()
    book.done("idle", True, 0.0)
    assert book.due(0.0) == (Return("live", "a", True),)
    book.done("live", True, 0.0)
    assert len(book) == 0


def test_idle_users_follow_each_other_and_live_ones_go_in_groups() -> None:
    book = failback(group=2)
    for number in range(3):
        book.away(f"idle{number}", "a", False)
        book.away(f"live{number}", "a", True)
    assert [order.user for order in book.due(0.0)] == ["idle0", "idle1"]
    book.done("idle0", True, 0.0)
    assert [order.user for order in book.due(0.0)] == ["idle2"]
    for user in ("idle1", "idle2"):
        assert book.due(0.0) == ()
        book.done(user, True, 0.0)
    assert [order.user for order in book.due(0.0)] == ["live0", "live1"]
    book.done("live0", True, 0.0)
    assert book.due(0.0) == ()
    book.done("live1", True, 0.0)
    assert [order.user for order in book.due(0.0)] == ["live2"]


def test_what_is_said_last_about_sessions_counts() -> None:
    book = failback()
    book.away("alice", "a", True)
    book.away("bob", "a", False)
    book.away("alice", "a", False)
    book.away("bob", "a", True)
    assert book.due(0.0) == (Return("alice", "a", False),)
    book.away("alice", "a", True)
    book.done("alice", False, 0.0)
    book.away("alice", "a", False)
    book.away("alice", "a", True)
    assert book.due(60.0) == (Return("bob", "a", True), Return("alice", "a", True))


def test_who_could_not_be_moved_is_tried_again_later() -> None:
    book = failback(again_after=60.0)
    book.away("alice", "a", False)
    book.due(0.0)
    book.done("alice", False, 10.0)
    book.done("alice", False, 11.0)
    assert len(book) == 1
    assert book.due(69.0) == ()
    assert book.due(70.0) == (Return("alice", "a", False),)


def test_who_has_got_home_otherwise_is_not_moved() -> None:
    book = failback()
    for user in ("alice", "bob", "carol"):
        book.away(user, "a", False)
    book.back("bob")
    book.back("nobody")
    assert [order.user for order in book.due(0.0)] == ["alice", "carol"]
    book.back("carol")
    book.done("carol", False, 0.0)
    book.done("alice", True, 0.0)
    assert len(book) == 0


def test_who_prefers_another_home_now_goes_there() -> None:
    book = failback()
    book.homes({"a": False, "b": False})
    book.up("b", 0.0)
    book.away("alice", "a", False)
    book.away("alice", "b", True)
    assert book.due(0.0) == (Return("alice", "b", True),)


def test_users_whose_home_is_taken_away_are_forgotten() -> None:
    book = failback()
    book.homes({"a": False, "b": False})
    book.away("alice", "a", False)
    book.away("bob", "b", False)
    book.homes({"b": False})
    assert len(book) == 1
    assert book.due(0.0) == ()


def test_only_so_many_are_remembered() -> None:
    book = failback(max_away=1)
    assert book.away("alice", "a", False)
    assert not book.away("bob", "a", False)
    assert book.away("alice", "a", True)
    assert len(book) == 1


# --- anything may happen -------------------------------------------------------------------------------------------

USERS, HOMES = "uvwxyz", "ab"


class Returns(RuleBasedStateMachine):
    """Whoever is away is in one place, returns only when allowed, and is never asked for twice."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.book = Failback(
            FailbackSettings(failback_after=20.0, word_lasts=30.0, group=2, again_after=15.0, max_away=4)
        )
        self.book.homes({"a": True, "b": False})
        self.since: dict[str, float] = {}
        self.synced: dict[str, float] = {}
        self.is_away: dict[str, tuple[str, bool]] = {}
        self.moving: dict[str, str] = {}

    @rule(home=st.sampled_from(HOMES))
    def up(self, home: str) -> None:
        self.book.up(home, self.now)
        self.since.setdefault(home, self.now)

    @rule(home=st.sampled_from(HOMES))
    def down(self, home: str) -> None:
        self.book.down(home)
        self.since.pop(home, None)
        self.synced.pop(home, None)

    @rule(synced=st.booleans())
    def word(self, synced: bool) -> None:
        self.book.word("a", synced, self.now)
        self.synced.pop("a", None)
        if synced and "a" in self.since:
            self.synced["a"] = self.now

    @rule(user=st.sampled_from(USERS), home=st.sampled_from(HOMES), live=st.booleans())
    def away(self, user: str, home: str, live: bool) -> None:
        known = self.book.away(user, home, live)
        assert known == (user in self.is_away or len(self.is_away) < 4)
        if known:
            self.is_away[user] = home, live
            if self.moving.get(user, home) != home:
                del self.moving[user]

    @rule(user=st.sampled_from(USERS))
    def back(self, user: str) -> None:
        self.book.back(user)
        self.is_away.pop(user, None)
        self.moving.pop(user, None)

    @rule()
    def due(self) -> None:
        before = dict(self.moving)
        for order in self.book.due(self.now):
            assert order.user not in self.moving
            assert self.is_away[order.user] == (order.home, order.live)
            assert self.now - self.since[order.home] >= 20.0
            assert order.home == "b" or self.now - self.synced["a"] < 30.0
            assert not order.live or order.home not in before.values()
            self.moving[order.user] = order.home

    @precondition(lambda self: self.moving)
    @rule(data=st.data(), moved=st.booleans())
    def done(self, data: st.DataObject, moved: bool) -> None:
        user = data.draw(st.sampled_from(sorted(self.moving)))
        self.book.done(user, moved, self.now)
        del self.moving[user]
        if moved:
            del self.is_away[user]

    @rule(seconds=st.sampled_from([1.0, 10.0, 20.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def everybody_is_in_one_place(self) -> None:
        places = []
        for home in self.book._homes.values():
            places += [*home.idle, *home.live, *home.later, *home.on_the_way]
            assert len(home.on_the_way) <= 2
        assert sorted(places) == sorted(self.is_away)
        assert len(self.book) == len(self.is_away)

    def teardown(self) -> None:
        """With the homes up and synced, everybody gets home in the end."""
        self.book.homes({"a": False, "b": False})
        for home in HOMES:
            self.book.up(home, self.now)
        self.now += 20.0
        for _ in range(10):
            self.due_at_last()
        assert len(self.book) == 0

    def due_at_last(self) -> None:
        for user in [*self.moving, *(order.user for order in self.book.due(self.now))]:
            self.book.done(user, True, self.now)
        self.moving.clear()


TestReturns = pytest.mark.machine(Returns.TestCase)


# --- questions -----------------------------------------------------------------------------------------------------


def test_a_gated_home_that_has_returned_is_closed_until_the_gate_says_that_it_has_caught_up() -> None:
    book = failback(gated=True)
    assert book.closed() == frozenset()
    book.down("a")
    assert book.closed() == {"a"}
    book.up("a", 100.0)
    book.word("a", False, 101.0)
    assert book.closed() == {"a"}
    book.word("a", True, 102.0)
    assert book.closed() == frozenset()


def test_a_gate_is_asked_about_a_home_that_has_returned_even_if_nobody_waits() -> None:
    book = failback(gated=True, failback_after=300.0)
    book.down("a")
    assert book.ask(50.0) == ()
    book.up("a", 100.0)
    assert book.ask(100.0) == ("a",)
    book.word("a", True, 100.0)
    assert book.ask(200.0) == ()


def test_a_home_without_a_gate_is_open_as_soon_as_it_is_up() -> None:
    book = failback()
    book.down("a")
    assert book.closed() == frozenset()


def test_users_are_counted_by_their_home() -> None:
    book = failback(group=1)
    assert (book.count("a"), book.count("z")) == (0, 0)
    for user in ("alice", "bob", "cyd"):
        book.away(user, "a", user == "cyd")
    assert (book.count("a"), book.home("alice"), book.home("dan")) == (3, "a", "")
    (order,) = book.due(0.0)
    book.done(order.user, False, 0.0)
    book.due(1.0)
    assert book.count("a") == 3
    book.back("cyd")
    assert book.count("a") == 2

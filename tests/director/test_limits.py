"""Nobody takes what others need, nothing that was counted stays, and strangers lock nobody out."""

from collections import Counter
from dataclasses import MISSING, fields
from fractions import Fraction
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from director.limits import ALLOWED, Limits, LimitSettings, Tally, Verdict, place

HOME, OFFICE = "192.0.2.1", "198.51.100.7"


def limits(**settings: float) -> Limits:
    """Limits with nothing but what is asked for."""
    off = {"sessions_per_user": 0, "sessions_per_address": 0, "sessions_per_pair": 0, "connections_per_second": 0}
    return Limits(LimitSettings(**{**off, "penalty": 0, **settings}))  # type: ignore[arg-type]


# --- settings ------------------------------------------------------------------------------------------------------


def test_every_key_is_explained_and_its_default_is_within_its_limits() -> None:
    for setting in fields(LimitSettings):
        assert setting.metadata["doc"].endswith(".")
        if "min" in setting.metadata:
            assert setting.default is not MISSING
            assert setting.metadata["min"] <= setting.default <= setting.metadata["max"]


def test_the_longest_penalty_is_not_shorter_than_the_first() -> None:
    assert list(LimitSettings().faults()) == []
    assert list(LimitSettings(penalty=2.0, penalty_most=1.0).faults()) == [
        ("penalty_most", "is less than penalty, 2 s; give at least that")
    ]


# --- sessions ------------------------------------------------------------------------------------------------------


def test_a_user_has_only_so_many_sessions() -> None:
    book = limits(sessions_per_user=2)
    assert book.session("alice", HOME) is ALLOWED
    assert book.session("alice", OFFICE).allowed
    assert book.session("alice", "203.0.113.1") == Verdict("user", 2, 2)
    assert book.session("bob", HOME).allowed
    book.ended("alice", OFFICE)
    assert book.session("alice", "203.0.113.1").allowed


def test_an_address_has_only_so_many_sessions() -> None:
    book = limits(sessions_per_address=2)
    assert book.session("alice", HOME).allowed
    assert book.session("bob", HOME).allowed
    assert book.session("carol", HOME) == Verdict("address", 2, 2)
    assert book.session("carol", OFFICE).allowed


def test_a_user_has_only_so_many_sessions_from_one_address() -> None:
    book = limits(sessions_per_pair=1)
    assert book.session("alice", HOME).allowed
    assert not book.session("alice", HOME).allowed
    assert book.session("alice", HOME).limit == "pair"
    assert book.session("alice", OFFICE).allowed


def test_sessions_on_other_nodes_count() -> None:
    book = limits(sessions_per_user=3, sessions_per_address=3, sessions_per_pair=3)
    assert book.session("alice", HOME, Tally(user=2)).allowed
    assert book.session("alice", HOME, Tally(user=2)) == Verdict("user", 3, 3)
    assert book.session("alice", HOME, Tally(address=4)) == Verdict("address", 5, 3)
    assert book.session("alice", HOME, Tally(pair=2)) == Verdict("pair", 3, 3)


def test_what_is_refused_is_not_counted() -> None:
    book = limits(sessions_per_pair=1)
    book.session("alice", HOME)
    book.session("alice", HOME)
    assert book.tally("alice", HOME) == Tally(1, 1, 1)
    assert len(book) == 1


def test_sessions_that_live_already_are_counted_without_a_verdict() -> None:
    book = limits(sessions_per_user=1)
    book.resumed("alice", HOME)
    book.resumed("alice", HOME)
    book.resumed("alice", "127.0.0.1")
    assert book.tally("alice", HOME) == Tally(2, 2, 2)
    assert book.session("alice", OFFICE) == Verdict("user", 2, 1)


def test_an_end_of_what_is_not_counted_does_no_harm() -> None:
    book = limits()
    book.session("alice", HOME)
    for user, address in (("bob", HOME), ("alice", OFFICE), ("alice", "127.0.0.1")):
        book.ended(user, address)
    assert book.tally("alice", HOME) == Tally(1, 1, 1)
    book.ended("alice", HOME)
    book.ended("alice", HOME)
    assert book.tally("alice", HOME) == Tally()
    assert len(book) == 0


# --- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::2"),
        ("unix", "unix"),
    ],
)
def test_these_are_counted_together(one: str, other: str) -> None:
    book = limits()
    book.session("alice", one)
    assert book.tally("alice", other) == Tally(1, 1, 1)
    book.ended("alice", other)
    assert book.tally("alice", one) == Tally()


@pytest.mark.parametrize(
    ("one", "other"),
    [("2001:db8::1", "2001:db8:0:1::1"), ("192.0.2.1", "192.0.2.2"), ("192.0.2.1", "::192.0.2.1")],
)
def test_these_are_counted_apart(one: str, other: str) -> None:
    book = limits()
    book.session("alice", one)
    assert book.tally("alice", other) == Tally(user=1)


def test_exempt_networks_are_neither_limited_nor_counted() -> None:
    book = Limits(
        LimitSettings(
            sessions_per_user=1,
            connections_burst=1,
            failures_free=0,
            exempt=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")),
        )
    )
    for address in (HOME, "2001:db8:1::7", "::ffff:192.0.2.9"):
        for _ in range(3):
            assert book.connect(address, 0.0) is ALLOWED
            assert book.session("alice", address) is ALLOWED
            assert book.failed("alice", address, 0.0) == 0.0
            assert book.wait("alice", address, 0.0) == 0.0
            book.succeeded("alice", address)
        assert book.tally("alice", address) == Tally()
        book.ended("alice", address)
    assert book.session("alice", OFFICE).allowed


# --- new connections -----------------------------------------------------------------------------------------------


def test_new_connections_come_in_a_burst_and_then_at_their_pace() -> None:
    book = limits(connections_per_second=2.0, connections_burst=3)
    assert [book.connect(HOME, 10.0).allowed for _ in range(4)] == [True, True, True, False]
    assert book.connect(HOME, 10.0) == Verdict("connections", wait=0.5)
    assert book.connect(OFFICE, 10.0).allowed
    assert [book.connect(HOME, 10.5).allowed for _ in range(2)] == [True, False]
    assert [book.connect(HOME, 60.0).allowed for _ in range(4)] == [True, True, True, False]


def test_without_a_rate_any_number_may_connect() -> None:
    book = limits(connections_per_second=0, connections_burst=1)
    assert all(book.connect(HOME, 0.0).allowed for _ in range(1000))


def test_only_so_many_addresses_are_remembered_the_latest() -> None:
    book = limits(connections_per_second=1.0, connections_burst=1, max_remembered=2)
    for address in (HOME, OFFICE, "203.0.113.1"):
        book.connect(address, 0.0)
    assert not book.connect(OFFICE, 0.1).allowed
    assert book.connect(HOME, 0.1).allowed


@given(
    rate=st.integers(1, 4),
    burst=st.integers(1, 5),
    steps=st.lists(st.integers(0, 8), max_size=60),
)
def test_connections_are_judged_as_by_a_bucket_of_tokens(rate: int, burst: int, steps: list[int]) -> None:
    book = limits(connections_per_second=rate, connections_burst=burst)
    tokens, now = Fraction(burst), Fraction(1000)
    for eighths in steps:
        now += Fraction(eighths, 8)
        tokens = min(Fraction(burst), tokens + Fraction(eighths, 8) * rate)
        verdict = book.connect(HOME, float(now))
        assert verdict.allowed == (tokens >= 1)
        if verdict.allowed:
            tokens -= 1
        else:
            assert verdict.wait == pytest.approx(float((1 - tokens) / rate))


# --- failures ------------------------------------------------------------------------------------------------------

STRICT = {"penalty": 2.0, "penalty_most": 15.0, "penalty_decay": 60.0, "failures_free": 0}


def test_each_failure_doubles_the_wait_up_to_the_longest() -> None:
    book = limits(**STRICT)
    waits = [book.failed("alice", HOME, 0.0) for _ in range(6)]
    assert waits == [2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


def test_who_has_to_wait_is_refused_until_then_and_one_attempt_at_a_time_is_allowed() -> None:
    book = limits(**STRICT)
    book.failed("alice", HOME, 0.0)
    book.failed("alice", HOME, 0.0)
    assert book.attempt("alice", HOME, 3.0) == 1.0
    assert book.attempt("alice", HOME, 4.0) == 0.0
    assert book.attempt("alice", HOME, 4.0) == pytest.approx(4.0, rel=0.1)
    assert book.failed("alice", HOME, 4.0) > 7.0


def test_the_first_failures_are_forgiven() -> None:
    book = limits(**STRICT | {"failures_free": 2})
    assert [book.failed("alice", HOME, 0.0) for _ in range(4)] == [0.0, 0.0, 2.0, 4.0]


def test_forgiven_failures_let_everybody_try_at_once() -> None:
    book = limits(**STRICT | {"failures_free": 2})
    book.failed("alice", HOME, 0.0)
    assert all(book.attempt("alice", HOME, 0.0) == 0.0 for _ in range(10))


def test_failures_are_forgotten_one_after_the_other() -> None:
    book = limits(**STRICT)
    for _ in range(3):
        book.failed("alice", HOME, 0.0)
    assert book.failed("alice", HOME, 60.0) == 8.0
    assert book.failed("alice", HOME, 1060.0) == 2.0


def test_success_ends_the_wait_of_the_pair() -> None:
    book = limits(**STRICT)
    for _ in range(4):
        book.failed("alice", HOME, 0.0)
    book.succeeded("alice", HOME)
    assert book.wait("alice", HOME, 0.0) == 0.0
    assert book.failed("alice", HOME, 0.0) == 2.0


def test_who_tries_many_users_has_to_wait_for_everyone() -> None:
    book = limits(**STRICT)
    for user in "abcd":
        book.failed(user, HOME, 0.0)
    assert book.wait("alice", HOME, 0.0) == 15.0
    assert book.wait("alice", OFFICE, 0.0) == 0.0
    assert book.attempt("alice", HOME, 20.0) == 0.0
    assert book.attempt("bob", HOME, 20.0) > 0.0


def test_who_tries_one_user_from_many_addresses_has_to_wait() -> None:
    book = limits(**STRICT)
    for last in range(4):
        book.failed("alice", f"203.0.113.{last}", 0.0)
    assert book.wait("alice", OFFICE, 0.0) == 15.0
    assert book.wait("bob", OFFICE, 0.0) == 0.0


def test_strangers_do_not_lock_out_who_was_there_before() -> None:
    book = limits(**STRICT)
    book.succeeded("alice", OFFICE)
    for user, address in (("alice", HOME), ("alice", "203.0.113.1"), ("bob", OFFICE), ("carol", OFFICE)):
        book.failed(user, address, 0.0)
    assert book.wait("alice", OFFICE, 0.0) == 0.0
    assert book.attempt("alice", OFFICE, 0.0) == 0.0
    assert book.attempt("alice", OFFICE, 0.0) == 0.0


def test_an_old_password_in_a_telephone_delays_only_the_telephone() -> None:
    book = limits(**STRICT | {"failures_free": 1})
    for minute in range(10):
        book.failed("alice", HOME, minute * 10.0)
    assert book.wait("alice", HOME, 90.0) == 15.0
    assert book.wait("bob", HOME, 90.0) == 0.0
    assert book.wait("alice", OFFICE, 90.0) == 0.0


def test_a_known_pair_that_fails_delays_only_itself() -> None:
    book = limits(**STRICT)
    book.succeeded("alice", HOME)
    assert book.failed("alice", HOME, 0.0) == 2.0
    assert book.attempt("alice", HOME, 1.0) > 0.0
    assert book.wait("bob", HOME, 0.0) == book.wait("alice", OFFICE, 0.0) == 0.0


def test_without_a_penalty_nobody_waits() -> None:
    book = limits(penalty=0, penalty_most=0, failures_free=0)
    assert [book.failed("alice", HOME, 0.0) for _ in range(5)] == [0.0] * 5
    assert book.attempt("alice", HOME, 0.0) == 0.0


@given(st.lists(st.tuples(st.sampled_from(["fail", "try", "success"]), st.integers(0, 30)), max_size=40))
def test_a_wait_is_never_longer_than_the_longest_and_passes(steps: list[tuple[str, int]]) -> None:
    book, now = limits(**STRICT | {"failures_free": 1}), 0.0
    for step, seconds in steps:
        now += seconds
        if step == "fail":
            book.failed("alice", HOME, now)
        elif step == "try":
            wait = book.wait("alice", HOME, now)
            assert book.attempt("alice", HOME, now) == wait
        else:
            book.succeeded("alice", HOME)
        wait = book.wait("alice", HOME, now)
        assert 0.0 <= wait <= 15.0
        assert book.wait("alice", HOME, now + wait) < 1e-6


# --- words and looks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (ALLOWED, ""),
        (Verdict("user", 7, 6), "the user has 7 sessions, 6 may be (sessions_per_user)"),
        (Verdict("address", 7, 6), "the address has 7 sessions, 6 may be (sessions_per_address)"),
        (Verdict("pair", 7, 6), "the user has 7 sessions from the address, 6 may be (sessions_per_pair)"),
        (Verdict("connections", wait=0.05), "too many new connections from the address, one may come in 0.1 s"),
        (Verdict("penalty", wait=2.0), "after failed logins, another try in 2.0 s"),
    ],
)
def test_a_verdict_says_which_limit_and_count_it_is(verdict: Verdict, text: str) -> None:
    assert verdict.text == text


@pytest.mark.parametrize("address", [HOME, "2001:db8::1", "::ffff:192.0.2.1", "unix", ""])
def test_what_an_address_counts_as_counts_as_itself(address: str) -> None:
    assert place(place(address)) == place(address)


def test_the_exempt_count_as_nothing_and_others_as_they_do_everywhere() -> None:
    book = Limits(LimitSettings(exempt=(ip_network("2001:db8::/32"),)))
    assert book.place("2001:db8::1") == ""
    assert book.place("2001:db9::1") == place("2001:db9::1") == "2001:db9::/64"


def test_connections_that_others_have_taken_count_up_to_those_of_the_next_second() -> None:
    book = limits(connections_per_second=2.0, connections_burst=3)
    book.connected(HOME, 2, 10.0)
    assert [book.connect(HOME, 10.0).allowed for _ in range(2)] == [True, False]
    book.connected(HOME, 1_000_000, 10.0)
    assert book.connect(HOME, 10.0).wait == pytest.approx(1.5)
    book.connected("127.0.0.1", 1_000_000, 10.0)
    assert book.connect("127.0.0.1", 10.0).allowed


def test_it_says_who_has_many_sessions() -> None:
    book = limits(sessions_per_user=5, sessions_per_address=6, sessions_per_pair=4)
    for user, address in (("alice", HOME), ("alice", HOME), ("alice", OFFICE), ("bob", OFFICE), ("carol", "::1")):
        assert book.session(user, address).allowed
    assert set(book.crowded(Tally(3, 2, 2))) == {("alice", ""), ("", HOME), ("", OFFICE), ("alice", HOME)}
    assert [book.count(subject) for subject in (("alice", ""), ("", OFFICE), ("alice", HOME))] == [3, 2, 2]
    assert [book.count(subject) for subject in (("x", ""), ("", "x"), ("alice", "x"))] == [0, 0, 0]
    assert [book.most(subject) for subject in (("alice", ""), ("", OFFICE), ("alice", HOME))] == [5, 6, 4]


def test_it_says_all_that_is_known_of_a_user_or_an_address() -> None:
    book = limits(**STRICT)
    book.session("alice", HOME)
    book.session("bob", OFFICE)
    book.failed("alice", OFFICE, 0.0)
    assert set(book.subjects("alice")) == {("alice", ""), ("alice", HOME), ("alice", OFFICE)}
    assert set(book.subjects(OFFICE)) == {("", OFFICE), ("bob", OFFICE), ("alice", OFFICE)}
    assert book.subjects("carol") == book.subjects("127.0.0.1") == []
    assert book.failures(("alice", OFFICE), 0.0) == book.failures(("alice", ""), 0.0) == (1.0, 2.0)
    assert book.failures(("", HOME), 0.0) == (0.0, 0.0)


def test_it_says_for_how_long_attempts_matter() -> None:
    book = limits(**STRICT | {"failures_free": 1})
    book.failed("alice", HOME, 0.0)
    assert book.unrest("alice", HOME, 0.0) == []
    book.failed("alice", OFFICE, 0.0)
    assert book.unrest("alice", HOME, 0.0) == [(("alice", ""), 60.0)]
    assert book.unrest("alice", HOME, 45.0) == [(("alice", ""), 15.0)]
    assert book.unrest("alice", HOME, 60.0) == book.unrest("alice", "127.0.0.1", 0.0) == []


def test_forgiving_a_user_or_an_address_leaves_the_others_as_they_are() -> None:
    book = limits(**STRICT, connections_per_second=1.0, connections_burst=1)
    for user, address in (("alice", HOME), ("bob", OFFICE)):
        book.failed(user, address, 0.0)
        book.connect(address, 0.0)
    book.forgive("alice")
    assert book.failures(("alice", HOME), 0.0) == book.failures(("alice", ""), 0.0) == (0.0, 0.0)
    assert book.wait("carol", HOME, 0.0) == 2.0
    book.forgive(HOME)
    assert book.wait("carol", HOME, 0.0) == 0.0
    assert book.connect(HOME, 0.0).allowed
    assert book.wait("bob", OFFICE, 0.0) == 2.0
    assert not book.connect(OFFICE, 0.0).allowed
    book.forgive("")
    assert book.failing() == []
    assert book.connect(OFFICE, 0.0).allowed


def test_a_success_is_news_once_and_after_failures() -> None:
    book = limits(**STRICT)
    assert [book.succeeded("alice", HOME), book.succeeded("alice", HOME)] == [True, False]
    book.failed("alice", HOME, 0.0)
    assert book.succeeded("alice", HOME)
    assert not book.succeeded("alice", "127.0.0.1")


def test_what_is_over_is_forgotten() -> None:
    book = limits(**STRICT, connections_per_second=1.0)
    book.connect(HOME, 0.0)
    book.failed("alice", HOME, 0.0)
    book.sweep(0.5)
    assert len(book.failing()) == 3
    assert len(book._buckets) == 1
    book.sweep(60.0)
    assert book.failing() == []
    assert len(book._buckets) == 0


# --- anything may happen -------------------------------------------------------------------------------------------

USERS, ADDRESSES = "uvw", (HOME, OFFICE, "2001:db8::1", "2001:db8::2", "127.0.0.1")
PLACES = {HOME: "h", OFFICE: "o", "2001:db8::1": "6", "2001:db8::2": "6", "127.0.0.1": ""}
users, addresses = st.sampled_from(USERS), st.sampled_from(ADDRESSES)


class Counting(RuleBasedStateMachine):
    """What is counted is what lives, whatever was refused, failed, or told twice."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.book = Limits(
            LimitSettings(
                sessions_per_user=4,
                sessions_per_address=5,
                sessions_per_pair=3,
                connections_per_second=1.0,
                connections_burst=2,
                failures_free=1,
                max_remembered=3,
            )
        )
        self.live: list[tuple[str, str]] = []

    def model(self, user: str, address: str) -> Tally:
        counted = Counter((user, PLACES[address]) for user, address in self.live if PLACES[address])
        return Tally(
            sum(number for (other, _), number in counted.items() if other == user),
            sum(number for (_, place), number in counted.items() if place == PLACES[address]),
            counted[user, PLACES[address]],
        )

    @rule(user=users, address=addresses)
    def session(self, user: str, address: str) -> None:
        before = self.model(user, address)
        verdict = self.book.session(user, address)
        full = before.user >= 4 or before.address >= 5 or before.pair >= 3
        assert verdict.allowed == (not PLACES[address] or not full)
        if verdict.allowed:
            self.live.append((user, address))
        else:
            assert verdict.count >= verdict.most

    @rule(user=users, address=addresses)
    def attempt(self, user: str, address: str) -> None:
        wait = self.book.wait(user, address, self.now)
        assert self.book.attempt(user, address, self.now) == wait

    @rule(user=users, address=addresses)
    def resumed(self, user: str, address: str) -> None:
        self.book.resumed(user, address)
        self.live.append((user, address))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def ended(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.live))
        self.live.remove(session)
        self.book.ended(*session)

    @rule(user=users, address=addresses)
    def ended_twice(self, user: str, address: str) -> None:
        if not self.model(user, address).pair:
            self.book.ended(user, address)

    @rule(user=users, address=addresses)
    def failed(self, user: str, address: str) -> None:
        assert self.book.failed(user, address, self.now) == self.book.wait(user, address, self.now)

    @rule(user=users, address=addresses)
    def succeeded(self, user: str, address: str) -> None:
        self.book.succeeded(user, address)
        assert self.book.wait(user, address, self.now) == 0.0

    @rule(address=addresses)
    def connect(self, address: str) -> None:
        self.book.connect(address, self.now)

    @rule(seconds=st.sampled_from([0.1, 1.0, 15.0, 600.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def what_is_counted_is_what_lives(self) -> None:
        assert len(self.book) == sum(1 for _, address in self.live if PLACES[address])
        for user in USERS:
            for address in ADDRESSES:
                assert self.book.tally(user, address) == self.model(user, address)

    @invariant()
    def nothing_grows(self) -> None:
        penalties = self.book._penalties
        remembered = (penalties._pairs, penalties._users, penalties._places)
        assert all(len(table) <= 3 for table in remembered)
        assert len(penalties._known) <= 3
        assert len(self.book._buckets) <= 3

    def teardown(self) -> None:
        for session in self.live:
            self.book.ended(*session)
        sessions = self.book._sessions
        assert (*sessions._pairs, *sessions._users, *sessions._places) == ()
        assert sessions.total == 0
        self.book.sweep(self.now + 10_000)
        assert len(self.book._buckets) == 0
        assert self.book.failing() == []


TestCounting = pytest.mark.machine(Counting.TestCase)

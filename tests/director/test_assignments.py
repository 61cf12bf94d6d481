"""A user is on one backend at a time, and the books forget whoever has gone."""

from collections import defaultdict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from director import DirectorSettings, Lease, NoBackend, NoRoom, Shard
from director.assignments import Assignments
from tests.director.examples import ignore, shard

ONE = shard("s1", a=1, b=2)
TWO = shard("s2", c=1, d=1)


def books(max_assignments: int = 1000, stay: float = 900.0) -> Assignments:
    return Assignments(DirectorSettings(max_assignments=max_assignments, stay=stay))


def login(to: Assignments, user: str, of: Shard = ONE, preferred: str = "", now: float = 0.0) -> Lease:
    """A lease that revokes no other."""
    lease, revoked = to.assign(user, of, preferred, now, ignore)
    assert not revoked
    return lease


def fail(at: Assignments, backend: str, now: float = 0.0) -> list[Lease]:
    """Two failures in a row; returns what the second revokes."""
    assert at.report(backend, False, now) == []
    return at.report(backend, False, now)


# --- stickiness ----------------------------------------------------------------------------------------------------


def test_all_sessions_of_a_user_share_a_backend_whatever_is_preferred() -> None:
    book = books()
    first, second = login(book, "alice", preferred="b"), login(book, "alice", preferred="a")
    assert (first.backend.name, first.why, first.shard) == ("b", "preferred", "s1")
    assert (second.backend.name, second.why) == ("b", "sticky")
    assert len(book) == 1


def test_a_user_stays_for_a_while_after_the_last_session() -> None:
    book = books()
    first, second = login(book, "alice", preferred="b"), login(book, "alice")
    book.release(first, 100.0)
    book.release(second, 200.0)
    book.release(login(book, "alice", now=1099.9), 1099.9)
    assert login(book, "alice", now=1999.8).why == "sticky"


def test_an_expired_assignment_is_not_used_even_before_it_is_cleared_away() -> None:
    book = books()
    for user in ("alice", "bob", "carol", "dave"):
        book.release(login(book, user, preferred="b"), 0.0)
    assert login(book, "dave", now=900.0).why == "priority"
    assert len(book) == 2


def test_without_a_stay_the_next_session_is_decided_anew() -> None:
    book = books(stay=0.0)
    book.release(login(book, "alice", preferred="b"), 5.0)
    assert login(book, "alice", now=5.0).why == "priority"


def test_releasing_twice_does_no_harm() -> None:
    book = books()
    first, second = login(book, "alice"), login(book, "alice")
    book.release(first, 0.0)
    book.release(first, 0.0)
    book.expire(10_000.0)
    assert len(book) == 1
    book.release(second, 10_000.0)
    book.release(second, 10_500.0)
    book.expire(10_900.0)
    assert len(book) == 0
    book.release(second, 10_900.0)


# --- another shard -------------------------------------------------------------------------------------------------


def test_a_user_found_in_another_shard_leaves_the_old_one() -> None:
    book = books()
    old = [login(book, "alice"), login(book, "alice")]
    bystander = login(book, "bob")
    new, revoked = book.assign("alice", TWO, "c", 1.0, ignore)
    assert new.backend.name == "c"
    assert set(revoked) == set(old)
    assert [lease.revoked for lease in (*old, new, bystander)] == [True, True, False, False]
    book.release(old[0], 2.0)
    assert login(book, "alice", TWO, now=3.0).why == "sticky"


def test_a_user_without_sessions_goes_to_another_shard_quietly() -> None:
    book = books()
    book.release(login(book, "alice"), 0.0)
    assert login(book, "alice", TWO).shard == "s2"
    assert len(book) == 1


def test_sessions_stay_where_they_are_while_the_new_shard_is_down() -> None:
    book = books()
    old = login(book, "alice")
    fail(book, "c")
    fail(book, "d")
    with pytest.raises(NoBackend):
        login(book, "alice", TWO)
    assert not old.revoked
    assert login(book, "alice").why == "sticky"


# --- backends that fail --------------------------------------------------------------------------------------------


def test_a_backend_that_goes_down_revokes_its_leases_only() -> None:
    book = books()
    here, there = login(book, "alice"), login(book, "bob", preferred="b")
    assert fail(book, "a") == [here]
    assert (here.revoked, there.revoked) == (True, False)
    assert (login(book, "alice").backend.name, login(book, "bob").why) == ("b", "sticky")


def test_a_single_failure_moves_nobody() -> None:
    book = books()
    login(book, "alice")
    assert book.report("a", False, 0.0) == []
    assert login(book, "alice").why == "sticky"


def test_failures_with_success_between_move_nobody() -> None:
    book = books()
    lease = login(book, "alice")
    for _ in range(3):
        assert book.report("a", False, 0.0) == []
        assert book.report("a", True, 0.0) == []
    assert not lease.revoked


def test_a_user_between_sessions_fails_over_when_coming_back() -> None:
    book = books()
    book.release(login(book, "alice"), 0.0)
    assert fail(book, "a") == []
    lease = login(book, "alice", now=1.0)
    assert (lease.backend.name, lease.why) == ("b", "failover")


def test_a_user_who_did_not_notice_that_a_backend_was_down_is_still_assigned_to_it() -> None:
    book = books()
    book.release(login(book, "alice", preferred="b"), 0.0)
    fail(book, "b")
    book.report("b", True, 20.0)
    lease = login(book, "alice", now=21.0)
    assert (lease.backend.name, lease.why) == ("b", "sticky")


def test_no_backend_is_left_until_one_is_due_for_a_trial() -> None:
    book = books()
    fail(book, "a", now=0.0)
    fail(book, "b", now=5.0)
    with pytest.raises(NoBackend) as caught:
        login(book, "alice", now=14.9)
    assert caught.value.shard == "s1"
    assert len(book) == 0
    assert login(book, "alice", now=15.0).backend.name == "a"
    with pytest.raises(NoBackend):
        login(book, "bob", now=15.0)


def test_only_one_user_has_the_trial_and_others_follow_its_success() -> None:
    book = books()
    fail(book, "a")
    trying, other = login(book, "alice", now=15.0), login(book, "bob", now=15.0)
    assert (trying.backend.name, other.backend.name, other.why) == ("a", "b", "failover")
    book.report("a", True, 16.0)
    assert login(book, "carol", now=16.0).backend.name == "a"
    assert login(book, "bob", now=16.0).why == "sticky"


def test_other_sessions_of_the_user_share_the_trial_and_its_failure() -> None:
    book = books()
    fail(book, "a")
    first, second = login(book, "alice", now=15.0), login(book, "alice", now=15.0)
    assert (second.backend.name, second.why) == ("a", "sticky")
    assert set(book.report("a", False, 16.0)) == {first, second}
    assert login(book, "alice", now=16.0).backend.name == "b"
    assert login(book, "bob", now=30.9).backend.name == "b"
    assert login(book, "carol", now=31.0).backend.name == "a"


def test_an_assigned_user_may_be_the_one_who_tries() -> None:
    book = books()
    book.release(login(book, "alice"), 0.0)
    fail(book, "a")
    assert login(book, "alice", now=15.0).why == "sticky"
    assert login(book, "bob", now=15.0).backend.name == "b"


# --- bounds --------------------------------------------------------------------------------------------------------


def test_beyond_the_limit_the_longest_idle_user_is_forgotten() -> None:
    book = books(max_assignments=3)
    leases = {user: login(book, user, preferred="b") for user in ("alice", "bob", "carol")}
    for user in ("bob", "alice"):
        book.release(leases[user], 1.0)
    login(book, "dave", now=2.0)
    assert len(book) == 3
    assert login(book, "alice", now=2.0).why == "sticky"
    assert login(book, "carol", now=2.0).why == "sticky"


def test_when_all_have_sessions_no_other_user_is_taken() -> None:
    book = books(max_assignments=2)
    first = login(book, "alice")
    login(book, "bob")
    with pytest.raises(NoRoom) as caught:
        login(book, "carol")
    assert caught.value.limit == 2
    assert login(book, "bob").why == "sticky"
    assert len(book.assign("bob", TWO, "", 0.0, ignore)[1]) == 2
    book.release(first, 0.0)
    assert login(book, "carol").why == "priority"


def test_logins_clear_away_what_has_expired_a_little_at_a_time() -> None:
    book = books()
    for number in range(100):
        book.release(login(book, f"user{number}"), 0.0)
    for number in range(50):
        login(book, f"late{number}", now=900.0)
        assert len(book) == 100 - 2 * (number + 1) + number + 1


def test_expiry_takes_those_whose_time_has_come() -> None:
    book = books()
    for number in range(10):
        book.release(login(book, f"user{number}", now=float(number)), float(number))
    book.expire(904.0)
    assert len(book) == 5
    book.expire(1000.0, at_most=3)
    assert len(book) == 2
    book.expire(1000.0)
    assert len(book) == 0


# --- anything may happen -------------------------------------------------------------------------------------------

SHARDS = {"s1": shard("s1", a=1, b=1), "s2": shard("s2", c=1, d=2, e=2)}
LIMIT = 4


class Logins(RuleBasedStateMachine):
    """Users come and go, change their shard, and backends fail."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.books = Assignments(DirectorSettings(max_assignments=LIMIT, stay=60.0))
        self.live: set[Lease] = set()
        self.given: list[Lease] = []

    @rule(
        target=leases,
        user=st.sampled_from("uvwxyz"),
        of=st.sampled_from(["s1", "s2"]),
        preferred=st.sampled_from(["", "b", "e"]),
    )
    def login(self, user: str, of: str, preferred: str) -> Lease | None:
        foreseen = self.books.choice(user, SHARDS[of], preferred, self.now)
        try:
            lease, revoked = self.books.assign(user, SHARDS[of], preferred, self.now, ignore)
        except NoBackend:
            assert foreseen is None
            return None
        except NoRoom:
            assert len({lease.user for lease in self.live}) == LIMIT
            return None
        assert foreseen == (lease.backend, lease.why)
        assert lease.backend in SHARDS[of].backends
        self.end(revoked)
        self.live.add(lease)
        self.given.append(lease)
        return lease

    @rule(lease=consumes(leases))
    def release(self, lease: Lease | None) -> None:
        if lease:
            self.books.release(lease, self.now)
            self.live.discard(lease)

    @rule(lease=leases)
    def release_and_keep_a_stale_reference(self, lease: Lease | None) -> None:
        self.release(lease)

    @rule(backend=st.sampled_from("abcde"), ok=st.booleans())
    def report(self, backend: str, ok: bool) -> None:
        revoked = self.books.report(backend, ok, self.now)
        assert not (ok and revoked)
        assert {lease.backend.name for lease in revoked} <= {backend}
        self.end(revoked)

    @rule(seconds=st.sampled_from([0.0, 1.0, 15.0, 60.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(at_most=st.sampled_from([None, 0, 1]))
    def expire(self, at_most: int | None) -> None:
        self.books.expire(self.now, at_most)

    def end(self, revoked: object) -> None:
        assert isinstance(revoked, list | tuple)
        assert all(lease.revoked for lease in revoked)
        assert set(revoked) <= self.live
        self.live -= set(revoked)

    @invariant()
    def nobody_is_on_two_backends(self) -> None:
        backends = defaultdict(set)
        for lease in self.live:
            backends[lease.user].add((lease.shard, lease.backend.name))
        assert all(len(places) == 1 for places in backends.values())

    @invariant()
    def leases_are_revoked_when_the_books_say_so(self) -> None:
        assert not any(lease.revoked for lease in self.live)

    @invariant()
    def the_books_are_bounded(self) -> None:
        assert len({lease.user for lease in self.live}) <= len(self.books) <= LIMIT

    def teardown(self) -> None:
        for lease in self.given:
            self.books.release(lease, self.now)
        self.books.expire(self.now + 60.0)
        assert len(self.books) == 0
        assert not self.books._idle
        assert not any(self.books._by_backend.values())


TestLogins = Logins.TestCase

"""What one node thinks of each backend: probes judge, failed logins ask for them and judge where they do not reach."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from director.health import ASK_EVERY, CHANCE_AFTER, COUNTS_FOR, LOST_AFTER, PAUSE, Health, Heard, Phase
from director.sections import HealthSettings

Probe = Literal["connect", "greeting", "tls", "login"]

NOTHING, ASKED = Heard(None, False), Heard(None, True)
DOWN, UP = Heard(False, False), Heard(True, False)


def health(probe: Probe = "greeting", **settings: float) -> Health:
    """The backends a and b, up since 0, with probes every 10 s."""
    book = Health(HealthSettings(probe=probe, **{"every": 10.0, **settings}))  # type: ignore[arg-type]
    book.arrange("ab", 0.0)
    return book


def is_up(book: Health, backend: str = "a") -> bool:
    return book.view(backend).up


def times(book: Health, backend: str, until: float, problem: str = "") -> Iterator[float]:
    """When the backend is probed, if each probe ends at once."""
    for tenths in range(int(until * 10)):
        now = tenths / 10
        for name in book.due(now):
            book.probed(name, problem, now)
            if name == backend:
                yield now


# --- probes ---


def test_a_new_backend_is_up() -> None:
    assert health().view("a") == (True, "", 0.0, False)


def test_failed_probes_in_a_row_put_a_backend_down() -> None:
    book = health()
    assert book.probed("a", "refused", 1.0) == ASKED
    assert book.probed("a", "refused", 1.1) == DOWN
    assert book.view("a") == (False, "refused", 1.1, False)
    assert book.probed("a", "still refused", 12.0) == NOTHING
    assert book.view("a") == (False, "still refused", 1.1, False)
    assert is_up(book, "b")


def test_failures_count_only_in_a_row() -> None:
    book = health()
    for now in range(0, 30, 3):
        assert book.probed("a", "refused", now) == ASKED
        assert book.view("a").problem == "refused"
        assert book.probed("a", "", now + 1) == NOTHING
        assert book.view("a") == (True, "", 0.0, False)


def test_a_single_failed_probe_may_be_enough() -> None:
    assert health(failures_to_down=1).probed("a", "refused", 1.0) == DOWN


def test_good_probes_in_a_row_bring_a_backend_back() -> None:
    book = health(failures_to_down=1)
    book.probed("a", "refused", 1.0)
    assert book.probed("a", "", 11.0) == NOTHING
    assert book.probed("a", "refused", 21.0) == NOTHING
    assert book.probed("a", "", 31.0) == NOTHING
    assert book.probed("a", "", 41.0) == UP
    assert book.view("a") == (True, "", 41.0, False)


def test_after_the_first_failed_probe_the_second_follows_at_once_and_others_soon() -> None:
    book = health(failures_to_down=4)
    assert book.probed("a", "refused", 1.0) == ASKED
    assert book.view("a").probing
    assert book.probed("a", "refused", 1.1) == NOTHING
    assert "a" not in book.due(1.1 + PAUSE / 2)
    assert "a" in book.due(1.1 + PAUSE)


def test_probes_are_spread_at_the_start_and_jittered_later() -> None:
    book = Health(HealthSettings(every=10.0), "node")
    book.arrange(map(str, range(100)), 0.0)
    first = [len(book.due(float(now))) for now in range(11)]
    assert first[0] == 0
    assert max(first) < 30
    assert sum(first) == 100
    gaps = [b - a for a, b in pairwise(times(health(), "a", 500.0))]
    assert 8.9 < min(gaps) < 9.8
    assert 10.2 < max(gaps) < 11.2


def test_nodes_ask_at_different_times() -> None:
    books = [Health(HealthSettings(every=10.0), seed) for seed in ("one", "other")]
    for book in books:
        book.arrange("a", 0.0)
    one, other = (list(times(book, "a", 50.0)) for book in books)
    assert one != other


def test_there_is_one_probe_of_a_backend_at_a_time() -> None:
    book = health(timeout=1.5)
    assert sorted(book.due(10.0)) == ["a", "b"]
    assert book.view("a").probing
    assert book.due(16.0) == ()


def test_a_probe_that_was_lost_is_made_again() -> None:
    book = health(timeout=8.0)
    book.due(10.0)
    assert book.due(10.0 + 8.0 + LOST_AFTER - 0.1) == ()
    assert sorted(book.due(10.0 + 8.0 + LOST_AFTER)) == ["a", "b"]


def test_backends_that_are_taken_away_are_forgotten_and_others_are_not() -> None:
    book = health(failures_to_down=1)
    book.probed("a", "refused", 1.0)
    book.probed("b", "refused", 1.0)
    book.arrange("bc", 2.0)
    assert not is_up(book, "b")
    assert is_up(book, "c")
    assert "a" not in book.due(100.0)
    book.arrange("abc", 3.0)
    assert book.view("a") == (True, "", 3.0, False)


def test_what_is_said_of_unknown_backends_is_ignored() -> None:
    book = health()
    assert book.probed("z", "refused", 1.0) == NOTHING
    assert book.reported("z", "alice", "connect", False, 1.0) == NOTHING
    assert not book.doubtful("z")


# --- what sessions say ---


def test_a_failed_login_asks_at_once_and_a_refused_backend_is_down_at_once() -> None:
    book = health()
    assert book.reported("a", "alice", "connect", False, 1.0) == ASKED
    assert book.doubtful("a")
    assert book.probed("a", "refused", 1.001) == ASKED
    assert book.doubtful("a")
    assert book.probed("a", "refused", 1.002) == DOWN
    assert not book.doubtful("a")


def test_a_good_probe_ends_the_doubt() -> None:
    book = health()
    book.reported("a", "alice", "login", False, 1.0)
    assert book.probed("a", "", 1.1) == NOTHING
    assert not book.doubtful("a")


def test_a_probe_that_is_under_way_already_is_the_one_that_was_asked_for() -> None:
    book = health()
    assert "a" in book.due(10.0)
    assert book.reported("a", "alice", "connect", False, 10.1) == NOTHING
    assert book.doubtful("a")
    book.probed("a", "", 10.2)
    assert not book.doubtful("a")
    assert "a" not in book.due(11.0)


def test_failed_logins_ask_only_so_often() -> None:
    book = health()
    assert book.reported("a", "alice", "login", False, 1.0) == ASKED
    book.probed("a", "", 1.01)
    assert book.reported("a", "alice", "login", False, 1.05) == NOTHING
    assert book.doubtful("a")
    assert "a" not in book.due(1.0 + ASK_EVERY - 0.01)
    assert "a" in book.due(1.0 + ASK_EVERY)
    book.probed("a", "", 1.21)
    assert book.reported("a", "alice", "login", False, 1.25) == NOTHING
    assert book.reported("a", "alice", "login", False, 1.41) == ASKED


def test_one_broken_mailbox_takes_no_backend_away() -> None:
    book = health(failures_to_down=1)
    for now in range(1000):
        assert book.reported("a", "alice", "login", False, float(now)).turned is None
        book.probed("a", "", now + 0.5)
    assert is_up(book)


def test_logins_that_fail_for_different_users_put_it_down_where_probes_do_not_reach() -> None:
    book = health("greeting", failures_to_down=3)
    for user in ("alice", "bob", "alice", "bob"):
        assert book.reported("a", user, "login", False, 1.0).turned is None
        book.probed("a", "", 1.1)
    assert book.reported("a", "carol", "login", False, 2.0) == DOWN
    assert book.view("a").problem == "several users in a row failed to log in"
    assert book.reported("a", "dave", "login", False, 2.1) == NOTHING
    assert not book.doubtful("a")


@pytest.mark.parametrize(
    ("probe", "phase", "down"),
    [
        ("connect", "connect", True),
        ("greeting", "connect", False),
        ("greeting", "login", True),
        ("tls", "connect", False),
        ("tls", "login", True),
        ("login", "connect", False),
        ("login", "login", False),
    ],
)
def test_a_good_probe_excuses_what_it_reaches(probe: Probe, phase: Phase, down: bool) -> None:
    book = health(probe)
    book.reported("a", "alice", phase, False, 1.0)
    book.probed("a", "", 1.1)
    book.reported("a", "bob", phase, False, 1.2)
    assert is_up(book) != down


def test_users_put_it_down_only_if_they_failed_in_the_same_phase() -> None:
    book = health("connect")
    book.reported("a", "alice", "connect", False, 1.0)
    assert book.reported("a", "bob", "login", False, 1.3).turned is None
    assert book.reported("a", "bob", "connect", False, 1.6) == DOWN
    assert book.view("a").problem == "several users in a row failed to connect"


@pytest.mark.parametrize(
    ("good", "failed", "down"),
    [("login", "login", False), ("login", "connect", False), ("connect", "login", True), ("connect", "connect", False)],
)
def test_a_good_login_in_between_excuses_what_it_passed(good: Phase, failed: Phase, down: bool) -> None:
    book = health("connect")
    book.reported("a", "alice", failed, False, 1.0)
    assert book.reported("a", "carol", good, True, 1.1) == NOTHING
    book.reported("a", "bob", failed, False, 1.2)
    assert is_up(book) != down


def test_failed_logins_that_are_long_ago_no_longer_count() -> None:
    book = health()
    book.reported("a", "alice", "login", False, 1.0)
    book.probed("a", "", 1.1)
    assert book.reported("a", "bob", "login", False, 1.0 + COUNTS_FOR).turned is None


def test_who_was_put_down_by_logins_gets_a_chance_after_some_time_of_good_probes() -> None:
    book = health(every=1.0)
    book.reported("a", "alice", "login", False, 1.0)
    assert book.reported("a", "bob", "login", False, 1.1) == DOWN
    assert book.probed("a", "refused", 2.0) == NOTHING
    for tenths in range(30, 30 + int(CHANCE_AFTER) * 10, 10):
        assert book.probed("a", "", tenths / 10) == NOTHING
    assert book.probed("a", "", 3.0 + CHANCE_AFTER) == UP
    assert book.reported("a", "alice", "login", False, 20.0).turned is None


def test_who_was_put_down_by_what_probes_do_reach_comes_back_as_soon_as_they_are_good() -> None:
    book = health("login")
    book.reported("a", "alice", "login", False, 1.0)
    assert book.reported("a", "bob", "login", False, 1.1) == DOWN
    assert book.probed("a", "", 2.0) == NOTHING
    assert book.probed("a", "", 3.0) == UP


# --- whatever happens ---


class AnswersEverybody(RuleBasedStateMachine):
    """Backend a is well; one user's mailbox is broken there. Backend b does as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.settings = HealthSettings(failures_to_down=1, every=1.0, timeout=60.0)
        self.book = Health(self.settings)
        self.book.arrange("ab", 0.0)
        self.now = 0.0
        self.under_way: set[str] = set()

    def _begin(self, names: tuple[str, ...]) -> None:
        assert not self.under_way & set(names)
        self.under_way |= set(names)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.1, 0.3, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self._begin(self.book.due(self.now))

    @precondition(lambda self: "a" in self.under_way)
    @rule()
    def a_is_probed(self) -> None:
        self.under_way.discard("a")
        assert self.book.probed("a", "", self.now) == NOTHING

    @precondition(lambda self: "b" in self.under_way)
    @rule(problem=st.sampled_from(["", "refused"]))
    def b_is_probed(self, problem: str) -> None:
        self.under_way.discard("b")
        before = is_up(self.book, "b")
        heard = self.book.probed("b", problem, self.now)
        assert heard.turned is (None if before == is_up(self.book, "b") else not before)
        self._begin(("b",) if heard.probe else ())

    @rule(phase=st.sampled_from(["connect", "login"]), broken=st.booleans())
    def somebody_tells_of_a(self, phase: Phase, broken: bool) -> None:
        heard = self.book.reported("a", "alice" if broken else "bob", phase, not broken, self.now)
        assert heard.turned is None
        self._begin(("a",) if heard.probe else ())

    @rule(user=st.sampled_from(["alice", "bob"]), phase=st.sampled_from(["connect", "login"]), ok=st.booleans())
    def somebody_tells_of_b(self, user: str, phase: Phase, ok: bool) -> None:
        heard = self.book.reported("b", user, phase, ok, self.now)
        assert heard.turned is not True
        self._begin(("b",) if heard.probe else ())

    @invariant()
    def a_is_up(self) -> None:
        assert is_up(self.book)

    @invariant()
    def doubt_is_always_about_a_probe(self) -> None:
        for name in "ab":
            if self.book.doubtful(name) and name not in self.under_way:
                self.now += ASK_EVERY
                self._begin(self.book.due(self.now))
                assert name in self.under_way
            assert self.book.view(name).probing == (name in self.under_way)


TestAnswersEverybody = pytest.mark.machine(AnswersEverybody.TestCase)


@given(st.lists(st.tuples(st.floats(0.0, 0.5), st.sampled_from(["alice", "bob"])), max_size=50))
def test_however_many_logins_fail_probes_of_a_backend_that_answers_are_bounded(
    reports: list[tuple[float, str]],
) -> None:
    book, now, asked = health("login", every=3600.0), 0.0, list[float]()
    for gap, user in reports:
        now += gap
        if book.reported("a", user, "login", False, now).probe:
            asked.append(now)
            book.probed("a", "", now)
    assert all(later - earlier >= ASK_EVERY - 1e-9 for earlier, later in pairwise(asked))

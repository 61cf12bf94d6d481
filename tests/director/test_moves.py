"""Many users are moved, so many at once, and each of them ends up in one place whatever happens on the way."""

from dataclasses import MISSING, fields

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from director import DirectorError
from director.moves import (
    JOBS_KEPT,
    UNMOVED_KEPT,
    Action,
    Hold,
    KickOut,
    Moves,
    MoveSettings,
    Order,
    Plan,
    Progress,
    Release,
    TooManyMoves,
    Undo,
    plan,
)


def moves(**settings: float) -> Moves:
    return Moves(MoveSettings(**settings))  # type: ignore[arg-type]


def to_b(*users: str) -> list[Order]:
    return [Order(user, "a", "b") for user in users]


def the(book: Moves, job: str = "drain") -> Progress:
    return next(progress for progress in book.progress() if progress.job == job)


def test_every_key_is_explained_and_its_default_is_within_its_limits() -> None:
    for setting in fields(MoveSettings):
        assert setting.metadata["doc"].endswith(".")
        assert setting.default is not MISSING
        assert setting.metadata["min"] <= setting.default <= setting.metadata["max"]


# --- one user ------------------------------------------------------------------------------------------------------


def test_a_user_is_held_kicked_drained_and_released() -> None:
    book = moves()
    assert book.start("drain", to_b("alice"), 1.0) == (Hold("alice", "b"),)
    assert the(book).moving == {"holding": 1}
    assert book.held("alice", "b", True) == (KickOut("alice"),)
    assert book.drained("alice") == (Release("alice", "b"),)
    assert the(book).moving == {"releasing": 1}
    assert book.released("alice", "b", 9.0) == ()
    assert book.progress() == (Progress("drain", 1, 0, {}, {"moved": 1}, {}, 1.0, 9.0),)
    assert len(book) == 0


def test_a_user_without_sessions_is_not_kicked() -> None:
    book = moves()
    book.start("drain", to_b("alice"), 0.0)
    assert book.held("alice", "b", False) == (Release("alice", "b"),)


def test_the_end_of_the_last_session_may_finish_the_move_at_any_step() -> None:
    book = moves()
    book.start("drain", to_b("alice", "bob"), 0.0)
    book.held("bob", "b", True)
    book.released("alice", "b", 0.0)
    book.released("bob", "b", 0.0)
    assert the(book).over == {"moved": 2}


def test_a_user_who_cannot_be_moved_is_told_with_the_reason() -> None:
    book = moves()
    book.start("drain", to_b("alice"), 0.0)
    book.refused("alice", "b", "the backend is down", 0.0)
    assert the(book).over == {"refused": 1}
    assert the(book).unmoved == {"alice": "the backend is down"}


def test_events_that_come_late_or_for_others_are_ignored() -> None:
    book = moves()
    book.start("drain", to_b("alice"), 0.0)
    assert book.drained("alice") == book.undone("alice", 0.0) == ()
    assert book.released("alice", "c", 0.0) == book.refused("alice", "c", "no", 0.0) == ()
    assert book.held("alice", "c", True) == ()
    book.held("alice", "b", True)
    assert book.held("alice", "b", True) == ()
    assert book.drained("bob") == book.undone("bob", 0.0) == ()
    assert book.released("bob", "b", 0.0) == book.refused("bob", "b", "no", 0.0) == ()
    assert the(book).moving == {"kicking": 1}


# --- time and abort ------------------------------------------------------------------------------------------------


def test_who_takes_too_long_is_undone() -> None:
    book = moves(move_timeout=30.0)
    book.start("drain", to_b("alice"), 0.0)
    book.held("alice", "b", True)
    assert book.tick(29.9) == ()
    assert book.tick(30.0) == (Undo("alice"),)
    assert the(book).moving == {"undoing": 1}
    assert book.drained("alice") == ()
    assert book.undone("alice", 31.0) == ()
    assert the(book).over == {"late": 1}
    assert the(book).unmoved == {"alice": "took too long"}


def test_undoing_is_asked_for_until_it_is_done() -> None:
    book = moves(move_timeout=30.0)
    book.start("drain", to_b("alice"), 0.0)
    assert [book.tick(second) for second in (30.0, 59.0, 60.0)] == [(Undo("alice"),), (), (Undo("alice"),)]


def test_a_release_that_was_quicker_than_undoing_counts() -> None:
    book = moves(move_timeout=30.0)
    book.start("drain", to_b("alice"), 0.0)
    book.tick(30.0)
    book.released("alice", "b", 30.0)
    assert the(book).over == {"moved": 1}


def test_an_abort_undoes_who_is_halfway_and_leaves_who_is_nearly_there() -> None:
    book = moves(move_parallel=3)
    book.start("drain", to_b("alice", "bob", "carol", "dave"), 0.0)
    book.start("other", to_b("erin"), 0.0)
    book.held("bob", "b", True)
    book.held("carol", "b", False)
    assert book.abort("drain", 1.0) == (Undo("alice"), Undo("bob"))
    assert the(book).moving == {"undoing": 2, "releasing": 1}
    assert the(book).over == {"aborted": 1}
    assert book.undone("alice", 2.0) == (Hold("erin", "b"),)
    book.undone("bob", 2.0)
    book.released("carol", "b", 3.0)
    assert the(book).over == {"aborted": 3, "moved": 1}
    assert the(book).unmoved == dict.fromkeys(("alice", "bob", "dave"), "aborted")
    assert the(book).ended == 3.0


def test_an_abort_of_what_is_not_going_on_does_nothing() -> None:
    book = moves()
    assert book.abort("drain", 0.0) == ()


def test_an_abort_before_anybody_began_ends_the_job() -> None:
    book = moves(move_parallel=1)
    book.start("first", to_b("alice"), 0.0)
    book.start("drain", to_b("bob"), 0.0)
    assert book.abort("drain", 5.0) == ()
    assert the(book).ended == 5.0


# --- many users ----------------------------------------------------------------------------------------------------


def test_only_so_many_are_moved_at_once() -> None:
    book = moves(move_parallel=2)
    assert book.start("drain", to_b("alice", "bob", "carol"), 0.0) == (Hold("alice", "b"), Hold("bob", "b"))
    assert the(book).waiting == 1
    assert book.refused("bob", "b", "no", 0.0) == (Hold("carol", "b"),)


def test_jobs_take_turns() -> None:
    book = moves(move_parallel=1)
    book.start("drain", to_b("a1", "a2", "a3"), 0.0)
    book.start("other", to_b("b1", "b2"), 0.0)
    order, users = [], ["a1"]
    while users:
        order += users
        users = [action.user for action in book.released(users[0], "b", 0.0)]
    assert order == ["a1", "a2", "b1", "a3", "b2"]


def test_more_users_can_join_a_job() -> None:
    book = moves(move_parallel=1)
    book.start("drain", to_b("alice"), 0.0)
    assert book.start("drain", to_b("bob"), 1.0) == ()
    assert (the(book).users, the(book).waiting, the(book).began) == (2, 1, 0.0)


def test_too_many_are_refused_and_nothing_changes() -> None:
    book = moves(max_moving=2)
    book.start("drain", to_b("alice"), 0.0)
    with pytest.raises(TooManyMoves, match="more than 2 users") as raised:
        book.start("other", [*to_b("bob", "carol"), Order("alice", "b", "b")], 0.0)
    assert isinstance(raised.value, DirectorError)
    assert raised.value.limit == 2
    assert len(book) == 1
    assert book.start("other", to_b("alice", "bob"), 0.0) == (Hold("alice", "b"), Hold("bob", "b"))


def test_a_job_for_nobody_is_over_at_once() -> None:
    book = moves()
    assert book.start("drain", [], 3.0) == ()
    assert book.progress() == (Progress("drain", 0, 0, {}, {}, {}, 3.0, 3.0),)


def test_the_last_finished_jobs_are_kept() -> None:
    book = moves()
    for number in range(JOBS_KEPT + 2):
        book.start(f"job{number}", [], 0.0)
    book.start("job5", [], 0.0)
    names = [progress.job for progress in book.progress()]
    assert names == [f"job{number}" for number in (2, 3, 4, *range(6, JOBS_KEPT + 2), 5)]


def test_of_so_many_users_the_reason_is_kept() -> None:
    book = moves(move_parallel=1)
    book.start("drain", to_b(*map(str, range(UNMOVED_KEPT + 10))), 0.0)
    book.abort("drain", 0.0)
    assert len(the(book).unmoved) == UNMOVED_KEPT


# --- a later order -------------------------------------------------------------------------------------------------


def test_a_later_order_takes_over_who_waits() -> None:
    book = moves(move_parallel=1)
    book.start("drain", to_b("alice", "bob"), 0.0)
    assert book.start("other", [Order("bob", "a", "c")], 0.0) == ()
    assert the(book).over == {"replaced": 1}
    assert book.released("alice", "b", 0.0) == (Hold("bob", "c"),)
    assert the(book).ended == 0.0


def test_a_later_order_takes_over_who_is_being_moved() -> None:
    book = moves(move_parallel=1)
    book.start("drain", to_b("alice"), 0.0)
    book.held("alice", "b", True)
    assert book.start("other", [Order("alice", "a", "c")], 1.0) == (Hold("alice", "c"),)
    assert the(book).unmoved == {"alice": "a later order counts"}
    assert book.released("alice", "b", 1.0) == ()
    assert the(book, "other").moving == {"holding": 1}


def test_a_later_order_of_the_same_job_counts() -> None:
    book = moves(move_parallel=1)
    book.start("drain", to_b("alice", "bob"), 0.0)
    assert book.start("drain", [Order("bob", "a", "c"), Order("alice", "a", "c")], 1.0) == (Hold("alice", "c"),)
    assert book.released("alice", "c", 2.0) == (Hold("bob", "c"),)


def test_who_is_held_by_an_order_that_was_overtaken_is_let_go() -> None:
    book = moves()
    book.start("drain", to_b("alice"), 0.0)
    book.start("other", to_b("alice"), 0.0)
    book.refused("alice", "b", "no", 0.0)
    assert book.held("alice", "b", True) == (Undo("alice"),)
    assert book.undone("alice", 0.0) == ()


def test_a_user_who_belongs_where_the_user_is_stays_there() -> None:
    book = moves(move_parallel=1)
    book.start("drain", to_b("alice", "bob"), 0.0)
    home = [Order(user, "a", "a") for user in ("alice", "bob", "carol")]
    assert book.start("back", home, 1.0) == (Undo("alice"),)
    assert the(book).over == {"replaced": 1}
    book.undone("alice", 2.0)
    assert the(book).over == {"replaced": 2}
    assert len(book) == 0


# --- dry run -------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_who_would_move() -> None:
    first, idle, live, there = (
        Order("alice", "a", "c"),
        Order("alice", "a", "b"),
        Order("bob", "a", "b", live=True),
        Order("carol", "b", "b", live=True),
    )
    assert plan([first, live, there, idle]) == Plan((idle, live), (there,), 1)


# --- anything may happen -------------------------------------------------------------------------------------------

USERS = "uvwxyz"


class Stack(RuleBasedStateMachine):
    """A core that carries out orders in any order and time, with users on backends and sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.book = moves(move_parallel=2, move_timeout=30.0, max_moving=5)
        self.at = dict.fromkeys(USERS, "a")
        self.live = dict.fromkeys(USERS, True)
        self.held: dict[str, str] = {}
        self.todo: list[Action] = []
        self.jobs = 0

    def give(self, actions: tuple[Action, ...]) -> None:
        self.todo += actions

    @rule(users=st.sets(st.sampled_from(USERS), max_size=4), to=st.sampled_from("abc"), join=st.booleans())
    def start(self, users: set[str], to: str, join: bool) -> None:
        self.jobs += not join
        orders = [Order(user, self.at[user], to, self.live[user]) for user in sorted(users)]
        before = self.book.progress()
        try:
            self.give(self.book.start(f"job{self.jobs}", orders, self.now))
        except TooManyMoves:
            assert before == self.book.progress()

    @precondition(lambda self: self.todo)
    @rule(data=st.data(), fails=st.booleans())
    def carry_out(self, data: st.DataObject, fails: bool) -> None:
        """Orders for one user are carried out one after the other."""
        user = data.draw(st.sampled_from(sorted({action.user for action in self.todo})))
        action = next(action for action in self.todo if action.user == user)
        self.todo.remove(action)
        self.do(action, fails)

    def do(self, action: Action, fails: bool) -> None:
        user = action.user
        match action:
            case Hold(target=target):
                if fails:
                    self.held.pop(user, None)
                    self.give(self.book.refused(user, target, "no", self.now))
                else:
                    self.held[user] = target
                    self.give(self.book.held(user, target, self.live[user]))
            case KickOut():
                self.live[user] = False
                self.give(self.book.drained(user))
            case Release(target=target):
                if self.held.get(user) == target:
                    assert not self.live[user]
                    self.at[user] = self.held.pop(user)
                    self.give(self.book.released(user, target, self.now))
            case Undo():
                self.held.pop(user, None)
                self.give(self.book.undone(user, self.now))

    @rule(user=st.sampled_from(USERS))
    def log_in(self, user: str) -> None:
        if user not in self.held:
            self.live[user] = True

    @rule(number=st.integers(0, 5))
    def abort(self, number: int) -> None:
        self.give(self.book.abort(f"job{number}", self.now))

    @rule(seconds=st.sampled_from([1.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.give(self.book.tick(self.now))

    @invariant()
    def books_balance(self) -> None:
        waiting = moving = 0
        for progress in self.book.progress():
            waiting += progress.waiting
            moving += sum(progress.moving.values())
            assert progress.users == progress.waiting + sum((*progress.moving.values(), *progress.over.values()))
            assert (progress.ended is None) == bool(progress.waiting or progress.moving)
        assert waiting + moving == len(self.book) <= 5
        assert moving <= 2

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        moving = sum(sum(progress.moving.values()) for progress in self.book.progress())
        assert moving == 2 or all(not progress.waiting for progress in self.book.progress())

    def teardown(self) -> None:
        """Every job ends when orders are carried out, and no login waits for ever."""
        for _ in range(40):
            for action in list(self.todo):
                self.todo.remove(action)
                self.do(action, False)
            self.now += 30.0
            self.give(self.book.tick(self.now))
        assert len(self.book) == 0
        assert self.held == {}
        assert all(progress.ended is not None for progress in self.book.progress())


TestStack = pytest.mark.machine(Stack.TestCase)


def test_a_target_is_known_of_who_is_being_moved_but_not_of_who_still_waits() -> None:
    moves = Moves(MoveSettings(move_parallel=1))
    moves.start("job", [Order("alice", "a", "b"), Order("bob", "a", "c")], 0.0)
    assert (moves.target("alice"), moves.target("bob"), moves.target("cyd")) == ("b", None, None)
    moves.released("alice", "b", 1.0)
    assert (moves.target("alice"), moves.target("bob")) == (None, "c")

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from loadtest.fleet.books import Books, Overlap


@dataclass(frozen=True, slots=True)
class Seen:
    at: float
    user: str
    backend: str
    came: bool


def books_of(*seen: Seen, tolerance: float = 0.5) -> Books:
    books = Books(tolerance)
    for one in seen:
        books.note(one)
    return books


def test_several_sessions_at_one_backend_are_normal() -> None:
    books = books_of(Seen(1, "u", "a", True), Seen(2, "u", "a", True), Seen(3, "u", "a", False))
    assert books.overlaps() == []
    assert books.sessions("u") == {"a": 1}


def test_a_user_on_two_backends_is_found_with_who_where_and_how_long() -> None:
    books = books_of(Seen(1, "u", "a", True), Seen(2, "u", "b", True), Seen(5, "u", "a", False))
    assert books.overlaps() == [Overlap("u", "a", "b", 2, 3)]
    assert books.failures() == books.overlaps()
    assert books.total == 1


def test_a_short_overlap_is_no_failure() -> None:
    books = books_of(Seen(1, "u", "a", True), Seen(2, "u", "b", True), Seen(2.25, "u", "a", False))
    assert [one.seconds for one in books.overlaps()] == [0.25]
    assert books.failures() == []


def test_who_leaves_before_coming_elsewhere_is_never_on_two() -> None:
    books = books_of(Seen(1, "u", "a", True), Seen(2, "u", "a", False), Seen(2, "u", "b", True))
    books.close(9)
    assert books.total == 0


def test_what_is_told_late_is_put_in_order() -> None:
    books = books_of(Seen(3, "u", "b", True), Seen(1, "u", "a", True))
    books.note(Seen(2, "u", "a", False))
    assert books.overlaps() == []


def test_the_second_session_at_the_new_backend_begins_no_second_overlap() -> None:
    books = books_of(
        Seen(1, "u", "a", True), Seen(2, "u", "b", True), Seen(3, "u", "b", True), Seen(4, "u", "a", False)
    )
    assert books.overlaps() == [Overlap("u", "a", "b", 2, 2)]


def test_an_overlap_that_lasts_until_the_end_counts() -> None:
    books = books_of(Seen(1, "u", "a", True), Seen(2, "u", "b", True))
    assert books.overlaps() == []
    books.close(10)
    assert books.failures() == [Overlap("u", "a", "b", 2, 8)]


def test_somebody_unknown_who_leaves_is_not_minded() -> None:
    assert books_of(Seen(1, "u", "a", False)).overlaps() == []


def test_users_do_not_disturb_each_other() -> None:
    assert books_of(Seen(1, "u", "a", True), Seen(2, "v", "b", True)).overlaps() == []


@st.composite
def histories(draw: st.DrawFn) -> list[Seen]:
    """Visits of one user to three backends: each has a beginning and an end."""
    visits = draw(
        st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10), st.sampled_from("abc")), min_size=1, max_size=12)
    )
    ends = [(begin, backend, True) for begin, _, backend in visits]
    ends += [(begin + lasts, backend, False) for begin, lasts, backend in visits]
    order = sorted(ends, key=lambda end: (end[0], end[2]))  # who leaves does so before who comes at the same time
    return [Seen(at, "u", backend, came) for at, backend, came in order]


@given(histories(), st.randoms())
def test_time_on_two_backends_is_measured_as_an_oracle_does(history: list[Seen], random: object) -> None:
    books = books_of(*history, tolerance=0.0)
    books.close(100)
    present: dict[str, int] = {}
    expected = 0.0
    for now, then in zip(history, [*history[1:], None], strict=True):
        present[now.backend] = present.get(now.backend, 0) + (1 if now.came else -1)
        places = sum(number > 0 for number in present.values())
        if then is not None:
            expected += (then.at - now.at) * (places * (places - 1) // 2)
    assert sum(one.seconds for one in books.overlaps()) == expected
    assert (books.failures() != []) == (expected > 0)

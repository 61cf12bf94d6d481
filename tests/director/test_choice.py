"""The order of backends is the same everywhere and for ever, and as fair as their weights."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director import Backend, Shard, rank
from director.choice import choose
from tests.director.examples import shard

USERS = [f"user{number}@example.org" for number in range(3000)]

names = st.sampled_from(["a", "b", "c", "d", "e"])
shards = st.builds(
    lambda backends: Shard("s1", tuple(Backend(name, f"{name}.example", {}, *rest) for name, *rest in backends)),
    st.lists(st.tuples(names, st.integers(0, 2), st.integers(1, 9)), min_size=1, unique_by=lambda backend: backend[0]),
)


def order(user: str, of: Shard, preferred: str = "", down: str = "") -> str:
    return " ".join(backend.name for backend in rank(user, of, preferred, of.names - {down}))


def weighted(**weights: int) -> Shard:
    return Shard("s1", tuple(Backend(name, name, {}, 1, weight) for name, weight in weights.items()))


# --- pinned --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "even", "uneven"),
    [
        ("alice", "mb2 mb1 mb3", "mb2 mb3 mb1"),
        ("bob@example.org", "mb3 mb1 mb2", "mb3 mb2 mb1"),
        ("carol", "mb2 mb1 mb3", "mb2 mb3 mb1"),
        ("dörte@example.org", "mb1 mb3 mb2", "mb3 mb1 mb2"),
        ("", "mb1 mb3 mb2", "mb1 mb3 mb2"),
    ],
)
def test_the_draw_never_changes(user: str, even: str, uneven: str) -> None:
    """A change of these values would move users on the day of an upgrade, and split them while nodes differ."""
    assert order(user, weighted(mb1=1, mb2=1, mb3=1)) == even
    assert order(user, weighted(mb1=1, mb2=2, mb3=4)) == uneven


# --- order ---------------------------------------------------------------------------------------------------------


def test_the_lower_priority_goes_first() -> None:
    assert order("alice", shard("s1", c=30, a=10, b=20)) == "a b c"


@pytest.mark.parametrize("preferred", ["c", "C.Example."])
def test_the_preferred_backend_goes_before_all(preferred: str) -> None:
    assert order("alice", shard("s1", a=1, b=2, c=3), preferred) == "c a b"


def test_a_preferred_stranger_is_ignored() -> None:
    assert order("alice", shard("s1", a=1, b=2), "mb9.example") == "a b"


def test_a_backend_that_cannot_be_used_is_left_out() -> None:
    assert order("alice", shard("s1", a=1, b=2, c=3), "b", down="b") == "a c"


@given(st.text(), shards, st.sampled_from(["", "a", "e"]), st.sets(names))
def test_what_is_chosen_is_what_ranks_first(user: str, of: Shard, preferred: str, usable: set[str]) -> None:
    ranked = rank(user, of, preferred, usable)
    chosen = choose(user, of, preferred, usable)
    assert (chosen and chosen[0]) == (ranked[0] if ranked else None)


@given(st.text(), shards, names)
def test_losing_a_backend_moves_nobody_else(user: str, of: Shard, lost: str) -> None:
    before = [backend for backend in rank(user, of, "", of.names) if backend.name != lost]
    assert list(rank(user, of, "", of.names - {lost})) == before


@given(st.text(), shards)
def test_the_order_in_the_configuration_does_not_matter(user: str, of: Shard) -> None:
    assert rank(user, Shard("s1", of.backends[::-1]), "", of.names) == rank(user, of, "", of.names)


# --- shares --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weights", [{"a": 1, "b": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 100, "b": 300}, {"a": 1, "b": 1, "c": 1, "d": 1}]
)
def test_users_are_spread_by_weight(weights: dict[str, int]) -> None:
    of = weighted(**weights)
    shares = Counter(rank(user, of, "", of.names)[0].name for user in USERS)
    for name, weight in weights.items():
        assert shares[name] / len(USERS) == pytest.approx(weight / sum(weights.values()), abs=0.03)


# --- reasons -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "preferred", "down", "expected"),
    [
        (shard("s1", a=1, b=2), "", "", ("a", "priority")),
        (shard("s1", a=1, b=2), "", "b", ("a", "priority")),
        (shard("s1", a=1, b=2), "", "a", ("b", "failover")),
        (shard("s1", a=1, b=2), "b", "", ("b", "preferred")),
        (shard("s1", a=1, b=2), "b", "a", ("b", "preferred")),
        (shard("s1", a=1, b=2), "b", "b", ("a", "failover")),
        (shard("s1", a=1, b=2), "mb9", "", ("a", "priority")),
        (shard("s1", a=1), "", "a", None),
    ],
)
def test_the_reason_is_told(of: Shard, preferred: str, down: str, expected: tuple[str, str] | None) -> None:
    chosen = choose("alice", of, preferred, of.names - {down} if down else of.names)
    assert (chosen and (chosen[0].name, chosen[1])) == expected


def test_among_equals_it_is_the_draw_unless_its_winner_is_down() -> None:
    of = shard("s1", a=1, b=1, c=2)
    first, second, _ = rank("alice", of, "", of.names)
    assert choose("alice", of, "", of.names) == (first, "hash")
    assert choose("alice", of, "", of.names - {second.name}) == (first, "hash")
    assert choose("alice", of, "", of.names - {first.name}) == (second, "failover")
    assert choose("alice", of, "", {"c"}) == (of.backends[2], "failover")

"""Backends are down when the nodes agree, never too many are taken out, and those that return are let in slowly."""

from dataclasses import MISSING, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from director import Backend, Shard
from director.votes import Standing, Turn, Votes, VoteSettings
from tests.director.examples import shard

PAIR = shard("s1", a=1, b=2)


def votes(*living: str, shards: tuple[Shard, ...] = (PAIR,), **settings: float) -> Votes:
    """Votes as the node `me` keeps them, besides which the others live."""
    book = Votes("me", VoteSettings(**settings))  # type: ignore[arg-type]
    assert book.arrange(shards, 0.0) == ()
    assert book.nodes(living, 0.0) == ()
    return book


def standings(book: Votes, names: str) -> list[Standing]:
    return [book.standing(name) for name in names]


# --- settings ------------------------------------------------------------------------------------------------------


def test_every_key_is_explained_and_its_default_is_within_its_limits() -> None:
    for setting in fields(VoteSettings):
        assert setting.metadata["doc"].endswith(".")
        assert setting.default is not MISSING
        assert setting.metadata["min"] <= setting.default <= setting.metadata["max"]


# --- majority ------------------------------------------------------------------------------------------------------


def test_a_node_without_others_decides() -> None:
    book = votes()
    assert book.vote("me", "a", False, 0.0) == (Turn("a", "up", "out"),)
    assert book.vote("me", "a", False, 1.0) == ()
    assert book.vote("me", "a", True, 2.0) == (Turn("a", "out", "up"),)


def test_one_of_two_nodes_is_alone_until_the_other_agrees() -> None:
    book = votes("other")
    assert book.vote("me", "a", False, 0.0) == (Turn("a", "up", "alone"),)
    assert book.vote("other", "a", False, 0.0) == (Turn("a", "alone", "out"),)
    assert book.vote("me", "a", True, 0.0) == (Turn("a", "out", "up"),)


def test_what_only_others_cannot_reach_is_up_for_us() -> None:
    book = votes("x", "y", "z")
    for node in "xy":
        assert book.vote(node, "a", False, 0.0) == ()
    assert book.vote("z", "a", False, 0.0) == (Turn("a", "up", "out"),)


def test_a_node_that_has_died_has_no_say() -> None:
    book = votes("x", "y")
    book.vote("me", "a", False, 0.0)
    assert book.nodes(["x"], 0.0) == ()
    assert book.standing("a") == "alone"
    assert book.nodes([], 0.0) == (Turn("a", "alone", "out"),)
    assert book.nodes(["x", "y"], 0.0) == (Turn("a", "out", "alone"),)


def test_the_votes_of_the_dead_are_forgotten() -> None:
    book = votes("x")
    book.vote("x", "a", False, 0.0)
    book.vote("me", "a", False, 0.0)
    assert book.nodes([], 1.0) == ()
    assert book.nodes(["x"], 1.0) == (Turn("a", "out", "alone"),)


def test_a_vote_that_is_not_renewed_no_longer_counts() -> None:
    book = votes(vote_lasts=10.0)
    book.vote("me", "a", False, 0.0)
    book.vote("me", "a", False, 5.0)
    assert book.tick(14.9) == ()
    assert book.tick(15.0) == (Turn("a", "out", "up"),)


def test_strangers_and_unknown_backends_do_not_count() -> None:
    book = votes()
    assert book.vote("stranger", "a", False, 0.0) == ()
    assert book.vote("me", "z", False, 0.0) == ()
    assert book.vote("me", "a", True, 0.0) == ()
    assert standings(book, "az") == ["up", "up"]


def test_backends_that_are_taken_away_are_forgotten() -> None:
    book = votes()
    book.vote("me", "a", False, 0.0)
    book.vote("me", "a", True, 0.0)
    book.vote("me", "b", False, 0.0)
    assert book.arrange([shard("s2", c=1)], 1.0) == ()
    assert book.arrange([PAIR], 2.0) == ()
    assert standings(book, "ab") == ["up", "up"]
    assert book.share("a", 2.0) == 1.0


def test_the_table_of_all_votes_says_at_once_who_lives_and_what_they_say() -> None:
    book = votes("x", "y")
    book.vote("x", "b", False, 0.0)
    book.vote("me", "a", False, 0.0)
    said = [("a", "x"), ("a", "stranger"), ("z", "x"), ("b", "me")]
    assert book.table(["x"], said, 1.0) == (Turn("a", "alone", "out"),)
    assert book.standings == {"a": "out"}
    assert book.table([], [], 2.0) == ()
    assert book.vote("me", "a", True, 3.0) == (Turn("a", "out", "up"),)


# --- taking out ----------------------------------------------------------------------------------------------------


def test_the_second_of_a_pair_is_not_taken_out_until_the_first_is_back() -> None:
    book = votes()
    book.vote("me", "b", False, 0.0)
    assert book.vote("me", "a", False, 1.0) == (Turn("a", "up", "down"),)
    assert book.usable(PAIR) == {"a"}
    assert book.vote("me", "b", True, 2.0) == (Turn("b", "out", "up"), Turn("a", "down", "out"))


def test_of_all_backends_no_more_are_taken_out_either() -> None:
    shards = shard("s1", a=1, b=1), shard("s2", c=1), shard("s3", d=1)
    book = votes(shards=shards, max_ejected_percent=100)
    assert {turn.standing for name in "abcd" for turn in book.vote("me", name, False, 0.0)} == {"out"}
    book = votes(shards=(shard("s1", a=1, b=1, c=1, d=1), shard("s2", e=1)), max_ejected_percent=50)
    for name in "abcde":
        book.vote("me", name, False, 0.0)
    assert standings(book, "abcde") == ["out", "out", "down", "down", "down"]


def test_a_backend_of_two_shards_is_taken_out_if_both_can_spare_it() -> None:
    a, b, c = (Backend(name, name) for name in "abc")
    book = votes(shards=(Shard("s1", (a, b)), Shard("s2", (b, c))), max_ejected_percent=67)
    for name in "abc":
        book.vote("me", name, False, 0.0)
    assert standings(book, "abc") == ["out", "down", "out"]


def test_a_backend_that_stands_alone_stays_in_use() -> None:
    only = shard("s1", a=1)
    book = votes(shards=(only,))
    assert book.vote("me", "a", False, 0.0) == (Turn("a", "up", "down"),)
    assert book.usable(only) == {"a"}


def test_those_that_are_given_up_are_out_beyond_the_share_while_they_are_down() -> None:
    of = shard("s1", a=1, b=1, c=2)
    book = votes(shards=(of,), ramp=10.0)
    book.vote("me", "a", False, 0.0)
    book.vote("me", "b", False, 0.0)
    assert standings(book, "abc") == ["out", "down", "up"]
    assert book.give_up("ab", 1.0) == (Turn("b", "down", "out"),)
    assert book.vote("me", "c", False, 1.0) == (Turn("c", "up", "out"),)
    assert book.give_up("", 2.0) == (Turn("b", "out", "down"), Turn("c", "out", "down"))
    book.give_up("ab", 3.0)
    assert not book.ramping
    assert book.vote("me", "b", True, 3.0) == (Turn("b", "out", "up"),)
    assert book.ramping
    assert book.share("b", 8.0) == 0.5


def test_all_names_of_a_shard_are_usable_when_none_is_out() -> None:
    book = votes(shards=(PAIR, shard("s2", c=1, d=1)))
    assert book.usable(PAIR) is PAIR.names
    book.vote("me", "c", False, 0.0)
    assert book.usable(PAIR) is PAIR.names


# --- coming back ---------------------------------------------------------------------------------------------------


def test_a_backend_that_returns_gets_new_users_bit_by_bit() -> None:
    book = votes(ramp=10.0)
    assert book.share("a", 0.0) == 1.0
    book.vote("me", "a", False, 0.0)
    book.vote("me", "a", True, 100.0)
    assert [book.share("a", 100.0 + seconds) for seconds in (0, 5, 10, 20)] == [0.0, 0.5, 1.0, 1.0]
    admitted = sum(book.admits(f"user{number}", "a", 105.0) for number in range(1000))
    assert 400 < admitted < 600
    book.tick(110.0)
    assert book.admits("alice", "a", 110.0)
    assert book.share("a", 0.0) == 1.0


def test_who_was_admitted_once_stays_admitted() -> None:
    book = votes(ramp=100.0)
    book.vote("me", "a", False, 0.0)
    book.vote("me", "a", True, 0.0)
    for number in range(20):
        seen = [book.admits(f"user{number}", "a", float(second)) for second in range(101)]
        assert seen == sorted(seen)
        assert seen[-1]


def test_a_backend_that_fails_again_begins_anew() -> None:
    book = votes(ramp=10.0)
    for second in (0.0, 5.0):
        book.vote("me", "a", False, second)
        book.vote("me", "a", True, second)
    assert book.share("a", 5.0) == 0.0


def test_a_backend_that_was_never_out_or_is_still_down_is_not_let_in_slowly() -> None:
    book = votes()
    book.vote("me", "b", False, 0.0)
    book.vote("me", "a", False, 0.0)
    book.vote("me", "a", True, 0.0)
    assert book.share("a", 0.0) == 1.0
    book.arrange([shard("s1", b=1), shard("s2", a=1)], 0.0)
    assert book.standing("b") == "down"
    assert book.share("b", 0.0) == 1.0


def test_without_a_ramp_it_gets_everybody_at_once() -> None:
    book = votes(ramp=0.0)
    book.vote("me", "a", False, 0.0)
    book.vote("me", "a", True, 0.0)
    assert book.share("a", 0.0) == 1.0


def test_every_node_draws_the_same() -> None:
    drawn = []
    for me in ("x", "y"):
        book = Votes(me, VoteSettings(ramp=10.0))
        book.arrange([PAIR], 0.0)
        book.vote(me, "a", False, 0.0)
        book.vote(me, "a", True, 0.0)
        drawn.append([book.admits(user, "a", 5.0) for user in "abcdefghij"])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 2


# --- anything may happen -------------------------------------------------------------------------------------------

POOL = (shard("s1", a=1, b=2), shard("s2", c=1, d=1, e=2), shard("s3", f=1))
NAMES, NODES = "abcdef", ("me", "x", "y")


class Cluster(RuleBasedStateMachine):
    """Whatever nodes say and whoever dies: the majority decides, and enough backends are left."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.percent = 50
        self.book = votes("x", "y", shards=POOL, vote_lasts=30.0, ramp=20.0)
        self.living = set(NODES)
        self.said: dict[tuple[str, str], float] = {}
        self.known: dict[str, Standing] = dict.fromkeys(NAMES, "up")

    def told(self, turns: tuple[Turn, ...]) -> None:
        for turn in turns:
            assert self.known[turn.backend] == turn.was
            self.known[turn.backend] = turn.standing

    @rule(node=st.sampled_from(NODES), backend=st.sampled_from(NAMES), up=st.booleans())
    def vote(self, node: str, backend: str, up: bool) -> None:
        self.told(self.book.vote(node, backend, up, self.now))
        if node not in self.living:
            return
        self.said.pop((node, backend), None)
        if not up:
            self.said[node, backend] = self.now + 30.0

    @rule(living=st.sets(st.sampled_from(NODES)))
    def nodes(self, living: set[str]) -> None:
        self.told(self.book.nodes(living, self.now))
        self.living = living | {"me"}
        self.said = {key: until for key, until in self.said.items() if key[0] in self.living}

    @rule(seconds=st.sampled_from([0.0, 5.0, 20.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.told(self.book.tick(self.now))

    @invariant()
    def the_majority_decides(self) -> None:
        for name in NAMES:
            against = {node for (node, other), until in self.said.items() if other == name and self.now < until}
            standing = self.book.standing(name)
            assert standing == self.known[name]
            assert (standing in ("down", "out")) == (2 * len(against) > len(self.living))
            assert (standing == "alone") == ("me" in against and standing not in ("down", "out"))

    @invariant()
    def enough_are_left_and_no_more_than_needed(self) -> None:
        for of in POOL:
            out = of.names - self.book.usable(of)
            assert len(out) * 100 <= self.percent * len(of.names)
        everything = [name for name in NAMES if self.book.standing(name) == "out"]
        assert len(everything) * 100 <= self.percent * len(NAMES)

    @invariant()
    def shares_are_shares_and_nothing_is_kept_of_what_is_well(self) -> None:
        for name in NAMES:
            assert 0.0 <= self.book.share(name, self.now) <= 1.0
        assert sum(map(len, self.book._votes.values())) == len(
            [until for until in self.said.values() if self.now < until]
        )
        assert all(self.book._votes.values())


TestCluster = pytest.mark.machine(Cluster.TestCase)


@given(st.integers(0, 100), st.integers(1, 12))
def test_never_more_than_the_share_is_taken_out(percent: int, number: int) -> None:
    names = [f"b{position}" for position in range(number)]
    of = shard("s1", **dict.fromkeys(names, 1))
    book = votes(shards=(of,), max_ejected_percent=percent)
    for name in names:
        book.vote("me", name, False, 0.0)
    assert number - len(book.usable(of)) == number * percent // 100


def test_who_goes_down_later_pushes_nobody_back_in() -> None:
    of = shard("s1", a=1, b=1, c=1, d=1)
    book = votes(shards=(of,))
    for name in "dcba":
        book.vote("me", name, False, 0.0)
    assert standings(book, "abcd") == ["down", "down", "out", "out"]
    assert book.vote("me", "a", False, 1.0) == ()

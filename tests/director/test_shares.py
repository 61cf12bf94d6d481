"""Who has few sessions costs nothing, and who has many is known to all nodes."""

from collections import Counter
from collections.abc import Mapping

import pytest

from director.actions import Count
from director.limits import NOWHERE, LimitSettings, Tally
from director.penalties import Subject
from director.shares import MOST_COUNTS, NEVER, PATIENCE, REFRESH, STAMPS, TTL, Shares, key_of, threshold

HOME = "192.0.2.1"
ALICE = ("alice", "")


class Node:
    """Shares of user counts on one of so many nodes, with a store that answers when told."""

    def __init__(self, others: int = 1, per_user: int = 16, most: int = 1000) -> None:
        self.sessions: Counter[Subject] = Counter()
        self.now = 1000.0
        settings = LimitSettings(
            sessions_per_user=per_user, sessions_per_address=0, sessions_per_pair=0, max_remembered=most
        )
        self.shares = Shares(settings, lambda subject: self.sessions[subject])
        self.shares.nodes({f"node{number}" for number in range(others)})

    def has(self, count: int, user: str = "alice") -> list[int]:
        """The user has so many sessions now; return what is told."""
        self.sessions[user, ""] = count
        told = self.shares.changed(user, HOME, Tally(count, 500, 500), self.now)
        return [value // STAMPS for _, value in told]

    def answer(self, others: Mapping[str, int], user: str = "alice") -> None:
        shares = {node: count * STAMPS for node, count in others.items()}
        self.shares.counted(key_of((user, "")), shares, self.now)

    def tick(self, seconds: float = 0.1) -> list[int]:
        self.now += seconds
        return [value // STAMPS for _, value in self.shares.tick(self.now)]

    @property
    def elsewhere(self) -> int:
        return self.shares.elsewhere("alice", HOME).user


@pytest.mark.parametrize(
    ("limit", "nodes", "expected"),
    [(100, 2, 25), (30, 2, 7), (30, 3, 5), (3, 2, 1), (1, 9, 1), (0, 2, NEVER), (100, 1, NEVER)],
)
def test_nodes_speak_from_half_of_their_part_of_the_limit(limit: int, nodes: int, expected: int) -> None:
    assert threshold(limit, nodes) == expected


def test_a_key_is_short_and_does_not_tell_whose_it_is() -> None:
    keys = {key_of(subject) for subject in (("a" * 1000, ""), ("", "a" * 1000), ("alice", HOME), ("alic", "e" + HOME))}
    assert len(keys) == 4
    assert all(len(key) == 30 for key in keys)


def test_a_node_that_is_alone_says_nothing() -> None:
    node = Node(others=0)
    assert node.shares.alone
    assert node.has(1_000_000) == []
    assert node.tick(100.0) == []
    assert len(node.shares) == 0


def test_below_the_threshold_nothing_is_told_or_asked() -> None:
    node = Node()
    assert node.has(3) == []
    assert node.shares.elsewhere("alice", HOME) is NOWHERE
    assert len(node.shares) == 0


def test_from_the_threshold_on_the_share_is_told_and_the_living_others_are_known() -> None:
    node = Node()
    assert node.has(4) == [4]
    node.answer({"node0": 5, "me": 4, "dead": 7})
    assert node.elsewhere == 5
    assert node.shares.elsewhere("bob", "198.51.100.7") == Tally()
    node.shares.nodes({"dead"})
    assert node.elsewhere == 7


def test_an_answer_to_what_was_not_asked_is_passed_over() -> None:
    node = Node()
    node.answer({"node0": 5})
    assert len(node.shares) == 0


def test_there_is_one_question_at_a_time() -> None:
    node = Node()
    assert [node.has(4), node.has(5), node.tick(), node.has(6)] == [[4], [], [], []]
    node.answer({})
    assert node.tick() == [6]
    node.answer({})
    assert node.tick() == []


def test_a_question_is_not_asked_again_at_once() -> None:
    node = Node()
    assert node.has(4) == [4]
    node.answer({})
    assert node.has(5) == []
    assert node.tick() == [5]
    node.answer({})
    node.tick()
    assert node.has(6) == [6]


def test_a_change_that_was_taken_back_is_not_told() -> None:
    node = Node()
    node.has(4)
    node.answer({})
    node.has(5)
    assert node.has(4) == []
    assert node.tick() == []


def test_a_question_without_an_answer_is_asked_again_with_the_next_change() -> None:
    node = Node()
    node.has(4)
    node.now += PATIENCE
    assert node.has(5) == [5]


def test_a_share_is_told_again_before_it_is_forgotten() -> None:
    node = Node()
    node.has(4)
    assert node.tick(REFRESH - 1) == []
    assert node.tick(1) == [4]
    node.answer({"node0": 3})
    assert node.tick(REFRESH) == [4]
    assert REFRESH * 3 < TTL


def test_what_others_said_long_ago_no_longer_counts() -> None:
    node = Node()
    node.has(4)
    node.answer({"node0": 3})
    node.tick(TTL)
    assert node.elsewhere == 3
    node.tick(REFRESH)
    assert node.elsewhere == 0


def test_a_share_that_is_told_again_looks_different_and_one_that_looks_the_same_for_long_does_not_count() -> None:
    here, there = Node(), Node()
    here.has(4)
    for number in range(int(TTL / REFRESH) * 2):
        here.now += REFRESH
        [count] = here.shares.tick(here.now)
        there.has(4 + number)
        there.shares.counted(count.key, {"node0": count.value}, here.now)
        assert there.elsewhere == 4
    there.shares.counted(count.key, {"node0": count.value}, here.now + TTL - 1)
    assert there.elsewhere == 4
    there.shares.counted(count.key, {"node0": count.value}, here.now + TTL)
    assert there.elsewhere == 0


def test_a_share_that_has_sunk_to_half_is_taken_back_and_forgotten_then() -> None:
    node = Node()
    node.has(4)
    node.answer({"node0": 3})
    node.now += 1
    assert node.has(2) == [2]
    node.answer({"node0": 3})
    node.now += 1
    assert node.has(1) == [0]
    assert len(node.shares) == 1
    node.answer({"node0": 3})
    assert len(node.shares) == 0
    assert node.elsewhere == 0


def test_a_share_that_grows_while_it_is_taken_back_is_told_again() -> None:
    node = Node()
    node.has(4)
    node.answer({})
    node.now += 1
    assert node.has(0) == [0]
    assert node.has(4) == []
    node.answer({})
    assert node.tick() == [4]


def test_a_share_that_waits_to_be_told_and_sinks_meanwhile_is_forgotten_wholly() -> None:
    node = Node()
    node.has(4)
    node.answer({})
    assert node.has(5) == []
    node.now += 1
    assert node.has(0) == [0]
    node.answer({})
    assert len(node.shares) == 0
    assert node.tick() == []


def test_when_there_are_more_nodes_it_wants_to_look_again() -> None:
    node = Node(others=1)
    assert not node.shares.nodes({"node0"})
    assert node.shares.nodes({"node0", "node1"})
    assert not node.shares.nodes({"node0"})
    node.sessions[ALICE] = 4
    node.shares.look([ALICE, ("bob", "")])
    assert node.tick() == [4]
    assert len(node.shares) == 1


def test_when_the_others_are_gone_its_shares_are_taken_back() -> None:
    node = Node()
    node.has(4)
    node.answer({"node0": 3})
    node.shares.nodes(())
    assert node.elsewhere == 0
    assert node.tick(REFRESH) == [0]
    node.answer({})
    assert node.shares.alone


def test_sessions_that_lived_already_are_told_by_the_next_tick() -> None:
    node = Node()
    node.sessions[ALICE] = 4
    node.shares.resumed("alice", HOME, Tally(4, 4, 4))
    assert node.tick() == [4]


def test_a_tick_asks_only_so_much() -> None:
    node = Node()
    node.sessions.update({(f"user{number}", ""): 4 for number in range(MOST_COUNTS + 1)})
    node.shares.look(list(node.sessions))
    assert [len(node.tick()), len(node.tick())] == [MOST_COUNTS, 1]
    assert [len(node.tick(REFRESH)), len(node.tick())] == [MOST_COUNTS, 1]


def test_only_so_many_counters_are_told() -> None:
    node = Node(most=1)
    assert node.has(4) == [4]
    assert node.has(4, "bob") == []
    assert node.tick() == []


def test_address_and_pair_have_counters_of_their_own() -> None:
    shares = Shares(
        LimitSettings(sessions_per_user=0, sessions_per_address=40, sessions_per_pair=8), {("", HOME): 10}.__getitem__
    )
    shares.nodes({"other"})
    assert shares.thresholds == Tally(NEVER, 10, 2)
    assert shares.changed("alice", HOME, Tally(9, 10, 1), 0.0) == [Count(key_of(("", HOME)), 10 * STAMPS + 1)]
    shares.counted(key_of(("", HOME)), {"other": 7 * STAMPS + 5}, 0.0)
    assert shares.elsewhere("bob", HOME) == Tally(address=7)
    assert shares.known(("", HOME)) == 7

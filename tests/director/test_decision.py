"""Where a user would go, as far as the configuration says."""

from __future__ import annotations

import pytest

from director import NoBackend, NoShard, Shard, Shards, choose, decide, rank
from tests.director.examples import shard_settings

SHARDS = Shards([shard_settings("s1", mb1a=1, mb1b=2), shard_settings("s2", mb2a=1, mb2b=1, mb2c=1)])


@pytest.mark.parametrize(
    ("value", "preferred", "chosen", "why"),
    [
        ("s1", "", "mb1a", "priority"),
        ("MB1B.example.", "", "mb1a", "priority"),
        ("s1", "mb1b", "mb1b", "preferred"),
        ("s1", "mb2a", "mb1a", "priority"),
    ],
)
def test_the_best_of_the_shard_is_chosen(value: str, preferred: str, chosen: str, why: str) -> None:
    decision = decide("alice", value, preferred, SHARDS)
    assert (decision.shard, decision.chosen.name, decision.why) == ("s1", chosen, why)


def test_candidates_are_in_the_order_in_which_they_would_serve() -> None:
    decision = decide("alice", "s2", "", SHARDS)
    shard = SHARDS.all[1]
    assert decision.candidates == rank("alice", shard, "", shard.names)
    assert (decision.chosen, decision.why) == choose("alice", shard, "", shard.names)
    assert decision.chosen is decision.candidates[0]


@pytest.mark.parametrize("value", ["", "127.0.0.1", "mb9.example"])
def test_what_is_no_shard_is_told(value: str) -> None:
    with pytest.raises(NoShard, match=repr(value)):
        decide("alice", value, "", SHARDS)


def test_a_shard_without_backends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shards, "find", lambda *_: Shard("empty", ()))
    with pytest.raises(NoBackend, match="'empty' has no backend"):
        decide("alice", "empty", "", SHARDS)

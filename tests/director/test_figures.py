"""A core in numbers."""

from __future__ import annotations

from director.core import Core
from director.figures import figures
from director.meters import ADMIN_STATES, GRANTS, KICKS, LIMITS, MOVE_OUTCOMES, MOVE_STEPS, REFUSALS, STANDINGS
from director.store import SWAPPED, Node, Snapshot
from director.wire import Assign
from tests.director.stage import LIFE, SETTINGS, SHARDS

W = "0/1/a"


def assigned() -> Core:
    """A core that has given alice a backend."""
    core = Core(LIFE, SETTINGS, SHARDS, workers=1, now=1000.0)
    core.beat(Snapshot("memory", (Node(LIFE, "x", 0.0),), {"mb1b": "standby"}, ()), 1000.0)
    core.joined(W, 0, 1000.0)
    core.announced(W, [], True, 1000.0)
    core.said(W, Assign(1, "alice", "s1", "", "192.0.2.1", "imap", "s1"), 1000.0)
    core.swapped("alice", SWAPPED, 1000.0)
    return core


def test_a_session_is_seen_where_it_is() -> None:
    shown = figures(assigned(), 1001.0)
    assert shown["sessions"] == {"mb1a": 1}
    assert shown["users"] == {"mb1a": 1}
    assert sum(shown["assigns"].values()) == 1
    assert shown["nodes"] == 1
    assert shown["split"] == shown["unsure"] == 0


def test_all_backends_are_there_with_words_that_the_metrics_have() -> None:
    shown = figures(assigned(), 1001.0)
    assert set(shown["standing"]) == set(shown["admin"]) == set(shown["view"]) == {"mb1a", "mb1b", "mb2a"}
    assert shown["admin"]["mb1b"] == "standby"
    for key, words in (
        ("assigns", GRANTS),
        ("refusals", REFUSALS),
        ("kicks", KICKS),
        ("limits", LIMITS),
        ("moves", MOVE_OUTCOMES),
        ("moving", MOVE_STEPS),
    ):
        assert set(shown[key]) <= set(words), key
    assert set(shown["standing"].values()) <= set(STANDINGS)
    assert set(shown["admin"].values()) <= set(ADMIN_STATES)


def test_who_is_being_moved_is_counted_by_step() -> None:
    core = assigned()
    backend = core.fleet.backend("mb1b")
    assert backend is not None
    core.set_admin("mb1b", "online", 1001.0)
    core.move("alice", backend, 1001.0)
    assert sum(figures(core, 1001.0)["moving"].values()) == 1

"""What is to be done leaves in order, once."""

from __future__ import annotations

from director.actions import Note, Probe, Publish, Send
from director.hints import Changed, decode
from director.outbox import Outbox
from director.wire import Kick


def test_orders_leave_in_the_order_in_which_they_were_given_and_only_once() -> None:
    out = Outbox("n0/1", 0.0)
    kick = Kick(1, "moved", False)
    out.do(Probe("a"))
    out.send("w", kick)
    out.note(20, "hello")
    assert out.take(others=True) == [Probe("a"), Send("w", kick), Note(20, "hello")]
    assert out.take(others=True) == []


def test_other_nodes_are_told_last_who_has_changed() -> None:
    out = Outbox("n0/1", 0.0)
    out.changed += ["alice", "bob"]
    out.do(Probe("a"))
    first, second = out.take(others=True)
    assert first == Probe("a")
    assert isinstance(second, Publish)
    assert decode(second.message) == Changed("n0/1", ["alice", "bob"])


def test_a_node_that_is_alone_tells_nobody() -> None:
    out = Outbox("n0/1", 0.0)
    out.changed.append("alice")
    assert out.take(others=False) == []
    assert out.take(others=True) == []

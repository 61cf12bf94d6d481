"""How long a node has been silent, whatever the clocks of the servers say.

A store's clock dates the heartbeats, but when another server takes its place, its clock may differ by minutes: living
nodes would look dead. So a store's date counts only until a node has been seen twice; from then on it is observed
whether the node's heartbeats go on, by the observer's own clock.
"""

from collections.abc import Iterable
from typing import NamedTuple

from director.store import Node


class Beat(NamedTuple):
    """A node's last heartbeat as the store has it: `beats` differs from that before, `age` is by the store's clock."""

    node: str
    incarnation: str
    beats: int
    age: float


class Sightings:
    """What one observer has seen of all nodes. `now` is in seconds and never goes backwards."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int, float]] = {}

    def look(self, beats: Iterable[Beat], now: float) -> tuple[Node, ...]:
        """Take note of what the store has now, and return how long each node has been silent."""
        self._seen = {beat.node: (beat.incarnation, beat.beats, self._since(beat, now)) for beat in beats}
        return tuple(Node(name, incarnation, now - since) for name, (incarnation, _, since) in self._seen.items())

    def _since(self, beat: Beat, now: float) -> float:
        if beat.node not in self._seen:
            return now - max(0.0, beat.age)
        incarnation, beats, since = self._seen[beat.node]
        return since if (incarnation, beats) == (beat.incarnation, beat.beats) else now

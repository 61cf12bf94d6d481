"""Which backends are down in the eyes of all nodes, which of them are taken out, and how those that return are let in.

A backend is down when more than half of the living nodes say so; a node in the minority that cannot reach it is
`alone`: it should answer "temporarily unavailable" rather than give a user to another backend. Only so many of the
backends are taken out, those that went down first, lest the others drown in what they get. One that returns gets new
users bit by bit.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

from director.shards import Shard

Standing: TypeAlias = Literal["up", "alone", "down", "out"]
"""up: serves; alone: serves others, but we cannot reach it; down: the nodes agree, but no more may be taken out;
out: down, and gets nobody."""

_DRAWS: Final = 2.0**64


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteSettings:
    """How nodes agree on the health of backends."""

    vote_lasts: float = field(
        default=30.0,
        metadata={
            "doc": "A node's word that a backend is down counts for so long unless it is renewed.",
            "unit": "s",
            "min": 1,
            "max": 3600,
        },
    )
    max_ejected_percent: int = field(
        default=50,
        metadata={
            "doc": "Never more of a shard's backends, nor of all, are taken out because they are down; parts of a "
            "backend do not count, so of two backends one needs 50.",
            "unit": "%",
            "min": 0,
            "max": 100,
        },
    )
    ramp: float = field(
        default=60.0,
        metadata={
            "doc": "A backend that returns gets its full share of new users only after this time. 0: at once.",
            "unit": "s",
            "min": 0,
            "max": 86400,
        },
    )


@dataclass(frozen=True, slots=True)
class Turn:
    """A backend's standing has changed from `was` to `standing`."""

    backend: str
    was: Standing
    standing: Standing


class Votes:
    """The standing of all backends, as this node (`me`) sees it. `now` is in seconds and does not go backwards.

    Each event returns what it turned. Kept are votes of living nodes for known backends only, and none for those that
    are up; who says nothing counts as saying up.
    """

    def __init__(self, me: str, settings: VoteSettings) -> None:
        self._me = me
        self._settings = settings
        self._living = frozenset({me})
        self._shards: dict[str, tuple[str, ...]] = {}
        """The names of the shards that each backend is in."""
        self._quotas: dict[str, int] = {}
        """How many backends of each shard, and under "" of all, may be out."""
        self._votes: dict[str, dict[str, float]] = {}
        """Until when which node says that a backend is down, by backend and node."""
        self._standings: dict[str, Standing] = {}
        """Of those that are not up; the first to go down first."""
        self._returned: dict[str, float] = {}
        """When those that were out and are being let in came back."""
        self._given_up: frozenset[str] = frozenset()
        """Those that are out whenever they are down, however many there are."""

    @property
    def standings(self) -> Mapping[str, Standing]:
        """The standings of all that are not up, as of the last event."""
        return self._standings

    @property
    def ramping(self) -> bool:
        """Whether any backend is being let in."""
        return bool(self._returned)

    def arrange(self, shards: Iterable[Shard], now: float) -> tuple[Turn, ...]:
        """These are the shards now; what other backends there were is forgotten."""
        shards, percent = tuple(shards), self._settings.max_ejected_percent
        members = [(name, shard.name) for shard in shards for name in shard.names]
        self._shards = {name: () for name, _ in members}
        for name, shard in members:
            self._shards[name] += (shard,)
        self._quotas = {shard.name: len(shard.names) * percent // 100 for shard in shards}
        self._quotas[""] = len(self._shards) * percent // 100
        for known in (self._votes, self._standings, self._returned):
            for name in known.keys() - self._shards.keys():
                del known[name]
        return self._settle(now)

    def nodes(self, living: Iterable[str], now: float) -> tuple[Turn, ...]:
        """These nodes live now; this one does in any case. The votes of others are forgotten."""
        self._living = frozenset(living) | {self._me}
        return self._settle(now)

    def vote(self, node: str, backend: str, up: bool, now: float) -> tuple[Turn, ...]:
        """Take note of how a node sees a backend; nodes that do not live and unknown backends do not count."""
        if node not in self._living or backend not in self._shards:
            return ()
        votes = self._votes.setdefault(backend, {})
        if up:
            votes.pop(node, None)
        else:
            votes[node] = now + self._settings.vote_lasts
        return self._settle(now)

    def table(self, living: Iterable[str], down: Iterable[tuple[str, str]], now: float) -> tuple[Turn, ...]:
        """All at once: these nodes live, and `down` has which backends they say are down, as backend and node.

        What it says of this node is ignored, who knows better.
        """
        self._living = frozenset(living) | {self._me}
        until = now + self._settings.vote_lasts
        for votes in self._votes.values():
            for node in votes.keys() - {self._me}:
                del votes[node]
        for backend, node in down:
            if node != self._me and node in self._living and backend in self._shards:
                self._votes.setdefault(backend, {})[node] = until
        return self._settle(now)

    def give_up(self, backends: Iterable[str], now: float) -> tuple[Turn, ...]:
        """These, and no others, are out whenever they are down and do not count for the quotas: a whole site has
        gone, and another one stands in."""
        self._given_up = frozenset(backends)
        return self._settle(now)

    def tick(self, now: float) -> tuple[Turn, ...]:
        """Time has passed: votes that nobody renewed are forgotten."""
        return self._settle(now)

    def standing(self, backend: str) -> Standing:
        """Return the standing as of the last event."""
        return self._standings.get(backend, "up")

    def usable(self, shard: Shard) -> frozenset[str]:
        """Return the names of the backends that are not out; `shard.names` itself when none is."""
        if not self._standings:
            return shard.names
        out = {name for name in shard.names if self.standing(name) == "out"}
        return shard.names - out if out else shard.names

    def share(self, backend: str, now: float) -> float:
        """Return which part of the new users the backend should get of those it would have got: 0 to 1."""
        if backend not in self._returned:
            return 1.0
        return min(1.0, (now - self._returned[backend]) / self._settings.ramp)

    def admits(self, user: str, backend: str, now: float) -> bool:
        """Whether a user who is nowhere yet may be given the backend; who may, may for as long as it stays up.

        Every node draws the same for a user. When no other backend is usable, this one is to be used all the same.
        """
        share = self.share(backend, now)
        return share >= 1.0 or _draw(user, backend) < share

    def _settle(self, now: float) -> tuple[Turn, ...]:
        """Count the votes anew and find what has turned."""
        self._forget(now)
        before, down = self._standings, self._down()
        out = self._out(down)
        self._standings = {name: "out" if name in out else "down" for name in down}
        self._standings |= {name: "alone" for name in self._votes if self._is_alone(name, down)}
        turns = tuple(self._turns(before))
        for turn in turns:
            self._let_in(turn, now)
        return turns

    def _forget(self, now: float) -> None:
        for backend, votes in list(self._votes.items()):
            left = {node: until for node, until in votes.items() if node in self._living and now < until}
            if left:
                self._votes[backend] = left
            else:
                del self._votes[backend]
        for backend in [name for name, since in self._returned.items() if now - since >= self._settings.ramp]:
            del self._returned[backend]

    def _down(self) -> list[str]:
        """Those that the majority says are down: who were so before keep their order, others follow."""
        agreed = dict.fromkeys(name for name, votes in self._votes.items() if 2 * len(votes) > len(self._living))
        before = {name: None for name, standing in self._standings.items() if standing != "alone" and name in agreed}
        return list(before | agreed)

    def _is_alone(self, backend: str, down: list[str]) -> bool:
        return backend not in down and self._me in self._votes[backend]

    def _out(self, down: list[str]) -> frozenset[str]:
        """Those that are given up, and the first that are down, as many as all of their shards, and all backends
        together, can spare."""
        out = self._given_up.intersection(down)
        taken: Counter[str] = Counter()
        for name in down:
            if name in out:
                continue
            places = ("", *self._shards[name])
            if all(taken[place] < self._quotas[place] for place in places):
                taken.update(places)
                out |= {name}
        return out

    def _turns(self, before: dict[str, Standing]) -> Iterator[Turn]:
        for name in dict.fromkeys((*before, *self._standings)):
            was, standing = before.get(name, "up"), self.standing(name)
            if was != standing:
                yield Turn(name, was, standing)

    def _let_in(self, turn: Turn, now: float) -> None:
        """Those that were out and are no longer down get their share bit by bit."""
        if turn.standing == "out":
            self._returned.pop(turn.backend, None)
        elif turn.was == "out" and turn.standing != "down" and self._settings.ramp:
            self._returned[turn.backend] = now


def _draw(user: str, backend: str) -> float:
    """A number from 0 to 1 that has nothing to do with the one by which users are spread over backends."""
    drawn = blake2b(user.encode() + b"\0" + backend.encode(), digest_size=8, person=b"ramp").digest()
    return int.from_bytes(drawn) / _DRAWS

"""Who is usable: the backends by what this node sees, what all nodes agree on, the operator's word, and where they are.

A backend may get a new user when it is not out, this node is not alone in failing to reach it, the operator has it
online, and it is its site's turn: backends at another site than the one that goes first for a user take over when all
of that site have been gone for a time. Those that return get new users bit by bit.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Final, Literal, NamedTuple, TypeAlias

from director.choice import Why, choose, rank
from director.health import Health, Heard, Phase
from director.settings import DirectorSettings
from director.shards import Backend, Shard, Shards
from director.sites import Sites
from director.store import Node, Vote
from director.votes import Standing, Turn, Votes

Admin: TypeAlias = Literal["online", "standby", "offline"]
"""The operator's word: online serves; standby keeps who is there and gets nobody else; offline serves nobody."""

_ADMIN: Final[Mapping[str, Admin]] = {"standby": "standby", "offline": "offline"}
_RENEWALS: Final = 3
"""So many times a vote is told while it lasts, for one may be lost."""


class Turns(NamedTuple):
    """What an event has changed, and what is to be done because of it."""

    turns: tuple[Turn, ...] = ()
    """Whose standing is another now."""
    votes: tuple[tuple[str, bool], ...] = ()
    """To be told to the other nodes: this node says that the backend is up, or down."""
    probes: tuple[str, ...] = ()
    """Backends to probe now; tell each outcome by `probed`."""
    admin: tuple[str, ...] = ()
    """Whose admin state is another now."""


class Candidate(NamedTuple):
    """A backend of a user's shard, for operators; `reason` says why it is not usable, or what is wrong all the same."""

    backend: str
    standing: Standing
    admin: Admin
    usable: bool
    reason: str


class Row(NamedTuple):
    """A backend, for operators: `since` is when this node's `view` became what it is, on the clock of `now`; `share`
    is the part of new users that it gets while it is being let in, else 1."""

    backend: str
    shard: str
    site: str
    host: str
    priority: int
    weight: int
    standing: Standing
    admin: Admin
    view: Literal["up", "down"]
    problem: str
    since: float
    share: float


class Fleet:
    """All backends as the node `me` may use them. `now` is in seconds and does not go backwards.

    Each event returns what has changed. A backend is up until something else is known of it; unknown ones are ignored
    by every event, are usable for nobody, and count as "up" and "online" where they are asked about.
    """

    def __init__(self, me: str, settings: DirectorSettings, shards: Shards, now: float) -> None:
        self._me = me
        self._settings = settings
        self._health = Health(settings.health, me)
        self._votes = Votes(me, settings.votes)
        self._sites = Sites(settings.site_failover_after)
        self._admin: dict[str, Admin] = {}
        """The operator's word where it is not "online", also about backends that are not there at the moment."""
        self._places: dict[str, tuple[Shard, Backend]] = {}
        self._renew_at: dict[str, float] = {}
        """When this node has to say again that a backend is down, of those that it sees so."""
        self._hints: dict[tuple[str, str], tuple[bool, float]] = {}
        """What another node (second) was heard to say of a backend (first), and until when the table may not know."""
        self._others_at = inf
        """When the store last said which nodes there are; inf when there were none but this one."""
        self._held_back: frozenset[str] = frozenset()
        """Those that have returned and have not caught up yet."""
        self._calm = True
        """Nothing keeps anybody from any backend."""
        self._shards = shards
        self.arrange(shards, now)

    @property
    def shards(self) -> Shards:
        """The shards as of the last `arrange`."""
        return self._shards

    def find_shard(self, value: str) -> Shard | None:
        """Return the shard that an entry means by its name, or by a backend's name or host."""
        return self._shards.find(value)

    def backend(self, name: str) -> Backend | None:
        """Return the backend of exactly this name."""
        return self._places[name][1] if name in self._places else None

    def is_in(self, backend: str, shard: str) -> bool:
        """Whether the backend is one of the shard, both by exactly these names."""
        return backend in self._places and self._places[backend][0].name == shard

    # Events.

    def arrange(self, shards: Shards, now: float) -> Turns:
        """These are the shards now. Other backends are forgotten, but not what operators said of them."""
        self._shards = shards
        self._places = {backend.name: (shard, backend) for shard in shards.all for backend in shard.backends}
        self._renew_at = {name: at for name, at in self._renew_at.items() if name in self._places}
        self._health.arrange(self._places, now)
        self._sites.arrange(shards.all)
        return Turns(self._review(self._votes.arrange(shards.all, now), now))

    def probed(self, backend: str, problem: str, now: float) -> Turns:
        """A probe is over: "" when it was good, else what was wrong. Another may have to follow at once."""
        return self._take(backend, self._health.probed(backend, problem, now), now)

    def reported(self, backend: str, user: str, phase: Phase, ok: bool, now: float) -> Turns:
        """A session of this node tells how its login at the backend went: "login" is all of it, if it went well."""
        return self._take(backend, self._health.reported(backend, user, phase, ok, now), now)

    def votes(self, nodes: Iterable[Node], votes: Iterable[Vote], now: float) -> Turns:
        """The store's tables, as in `Snapshot`: all that nodes say, this one included."""
        living = {node.name for node in nodes if node.age < self._settings.node_timeout}
        down = {(vote.backend, vote.node) for vote in votes if vote.view == "down"}
        said = {backend for backend, node in down if node == self._me}
        self._others_at = now if living - {self._me} else inf
        turns = self._votes.table(living, self._with_hints(down, now), now)
        return Turns(self._review(turns, now), votes=self._correct(said, now))

    def heard_vote(self, node: str, backend: str, up: bool, now: float) -> Turns:
        """Another node says how it sees a backend; the store's table may not have it yet."""
        if node == self._me or backend not in self._places:
            return Turns()
        self._hints[backend, node] = (up, now + 2 * self._settings.heartbeat)
        return Turns(self._review(self._votes.vote(node, backend, up, now), now))

    def admin(self, states: Mapping[str, str], now: float) -> Turns:
        """All that operators say; who is not in it is online, as is who has a state that this version does not know."""
        before = self._admin
        self._admin = {name: _ADMIN[state] for name, state in states.items() if state in _ADMIN}
        changed = tuple(name for name in self._places if before.get(name) != self._admin.get(name))
        return Turns(self._review((), now), admin=changed) if changed else Turns()

    def hold_back(self, names: frozenset[str]) -> None:
        """These have returned, and lack what their partners got meanwhile: they get no new users while there are others
        that may."""
        if names != self._held_back:
            self._held_back = names
            self._calm = self._is_calm()

    def tick(self, now: float) -> Turns:
        """Time has passed: probes are due, votes are renewed or out of date, another site may take over."""
        renewed = [name for name, at in self._renew_at.items() if at <= now]
        turns = [turn for name in renewed for turn in self._vote(name, False, now)]
        if now - self._others_at >= self._settings.node_timeout:
            self._others_at = inf  # whoever cannot hear the others goes by what it sees itself
            turns += self._votes.nodes((), now)
        turns += self._votes.tick(now)
        return Turns(self._review(turns, now), tuple((name, False) for name in renewed), self._health.due(now))

    # Questions about one backend, as of the last event.

    def standing(self, backend: str) -> Standing:
        """Return what the nodes agree on; "alone" when only this one cannot reach it."""
        return self._votes.standing(backend)

    def admin_state(self, backend: str) -> Admin:
        """Return the operator's word."""
        return self._admin.get(backend, "online")

    def takes(self, backend: str) -> bool:
        """Whether somebody may be moved there: it is known, online, and not out."""
        return backend in self._places and self._serves(backend)

    def keeps(self, backend: str) -> bool:
        """Whether a user who is there may stay: it is neither out nor offline."""
        return self._calm or (self._votes.standing(backend) != "out" and self._admin.get(backend) != "offline")

    def grants(self, backend: str) -> bool:
        """Whether this node may give out leases there: users may stay, and this node can reach it."""
        return self._calm or (self.keeps(backend) and self._votes.standing(backend) != "alone")

    def doubtful(self, backend: str) -> bool:
        """Whether something has failed there and the probe that follows is not over: wait for its outcome."""
        return self._health.doubtful(backend)

    def unusable_reason(self, backend: str) -> str:
        """Return why it gets no new users, in words; "" when it does, so far as it depends on itself."""
        if backend not in self._places:
            return "it is in no shard"
        problem = self._health.view(backend).problem
        words = _REASONS.get(self._admin.get(backend, "")) or _REASONS.get(self._votes.standing(backend), "")
        return f"{words}: {problem}" if words and problem else words

    # Who gets whom.

    def choose(self, user: str, shard: Shard, preferred: str, now: float) -> tuple[Backend, Why] | None:
        """Return the backend for a user who is nowhere yet, and why; None when there is none to be had.

        `preferred` is the name or host of a backend of the shard, or "". Nodes that agree choose the same.
        """
        if self._calm and not self._sites.spreads(shard):
            return choose(user, shard, preferred, shard.names)
        return self._choose(user, shard, preferred, self._usable(shard, preferred), now)

    def if_failed(
        self, user: str, shard: Shard, preferred: str, backend: str, now: float
    ) -> tuple[Backend, Why] | None:
        """Return what `choose` would if this backend went out now; another site may take over later all the same."""
        return self._choose(user, shard, preferred, self._usable(shard, preferred) - {backend}, now)

    def candidates(self, user: str, shard: Shard, preferred: str, now: float) -> tuple[Candidate, ...]:
        """Return all backends of the shard in the order in which they should serve the user."""
        usable = self._usable(shard, preferred)
        admitted = self._admitted(user, usable, now)
        return tuple(
            Candidate(
                backend.name,
                self.standing(backend.name),
                self.admin_state(backend.name),
                backend.name in admitted,
                self._reason(backend, usable, admitted, now),
            )
            for backend in rank(user, shard, preferred, shard.names)
        )

    def rows(self, now: float) -> tuple[Row, ...]:
        """Return all backends in the order of the configuration."""
        return tuple(self._rows(now))

    # How it is done.

    def _take(self, backend: str, heard: Heard, now: float) -> Turns:
        """Say to everybody what this node has found out."""
        probes = (backend,) if heard.probe else ()
        if heard.turned is None:
            return Turns(probes=probes)
        turns = self._vote(backend, heard.turned, now)
        return Turns(self._review(turns, now), ((backend, heard.turned),), probes)

    def _vote(self, backend: str, up: bool, now: float) -> tuple[Turn, ...]:
        if up:
            self._renew_at.pop(backend, None)
        else:
            self._renew_at[backend] = now + self._settings.votes.vote_lasts / _RENEWALS
        return self._votes.vote(self._me, backend, up, now)

    def _with_hints(self, down: set[tuple[str, str]], now: float) -> set[tuple[str, str]]:
        """The store's table of who says that what is down may be older than what was heard since."""
        self._hints = {key: hint for key, hint in self._hints.items() if now < hint[1]}
        ups = {key for key, (up, _) in self._hints.items() if up}
        return (down | self._hints.keys()) - ups

    def _correct(self, said: set[str], now: float) -> tuple[tuple[str, bool], ...]:
        """Say again what the store's table, which has `said`, does not know of this node."""
        wrong = [(name, False) for name in self._renew_at if name not in said]
        return (*wrong, *((name, True) for name in said if name in self._places and name not in self._renew_at))

    def _review(self, turns: Iterable[Turn], now: float) -> tuple[Turn, ...]:
        """What follows for the sites, once the standings are known; returns all turns as one for each backend."""
        standings = self._votes.standings
        away = {name for name, standing in standings.items() if standing != "alone"}
        self._sites.review(away | (self._admin.keys() & self._places.keys()), now)
        turns = (*turns, *self._votes.give_up(self._sites.given_up(), now))
        self._calm = self._is_calm()
        return _merged(turns)

    def _is_calm(self) -> bool:
        return not (self._votes.standings or self._admin or self._votes.ramping or self._held_back)

    def _usable(self, shard: Shard, preferred: str) -> frozenset[str]:
        """The backends that may get a new user, by all but how slowly they are let in."""
        turn = self._sites.on_turn(shard, preferred)
        if self._calm:
            return turn
        return frozenset(name for name in turn if self._serves(name))

    def _serves(self, name: str) -> bool:
        return name not in self._admin and self._votes.standing(name) in ("up", "down")

    def _admitted(self, user: str, usable: frozenset[str], now: float) -> frozenset[str]:
        """Those that are being let in, or are held back, are left out, unless there are no others."""
        usable = usable - self._held_back or usable
        if not self._votes.ramping:
            return usable
        return frozenset(name for name in usable if self._votes.admits(user, name, now)) or usable

    def _choose(
        self, user: str, shard: Shard, preferred: str, usable: frozenset[str], now: float
    ) -> tuple[Backend, Why] | None:
        return choose(user, shard, preferred, self._admitted(user, usable, now))

    def _reason(self, backend: Backend, usable: frozenset[str], admitted: frozenset[str], now: float) -> str:
        name = backend.name
        if name in admitted:
            return _SPARED if self.standing(name) == "down" else ""
        if name in usable and name in self._held_back:
            return "has returned, and has not caught up yet with what its partners got meanwhile"
        if name in usable:
            return f"is being let in, and gets {self._votes.share(name, now):.0%} of the new users by now"
        return self.unusable_reason(name) or (
            f"is at another site{backend.site and ' '}{backend.site}, which takes over when all backends of the first "
            f"have been gone for {self._settings.site_failover_after:g} s"
        )

    def _rows(self, now: float) -> Iterator[Row]:
        for name, (shard, backend) in self._places.items():
            view = self._health.view(name)
            yield Row(
                backend=name,
                shard=shard.name,
                site=backend.site,
                host=backend.host,
                priority=backend.priority,
                weight=backend.weight,
                standing=self.standing(name),
                admin=self.admin_state(name),
                view="up" if view.up else "down",
                problem=view.problem,
                since=view.since,
                share=self._votes.share(name, now),
            )


_REASONS: Final[Mapping[str, str]] = {
    "standby": "is on standby: it keeps its users and gets no others",
    "offline": "is offline by an operator's word",
    "alone": "cannot be reached from this node, though from others",
    "out": "is down",
}
_SPARED: Final = "is down, but too many others are out already"


def _merged(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """One turn for each backend, from what it was first to what it became last; none for one that is as before."""
    merged: dict[str, Turn] = {}
    for turn in turns:
        first = merged.get(turn.backend, turn)
        merged[turn.backend] = Turn(turn.backend, first.was, turn.standing)
    return tuple(turn for turn in merged.values() if turn.was != turn.standing)

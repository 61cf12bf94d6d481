"""Operators' questions and orders, as their socket brings them, and the answers (docs/director.md has them all)."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import Any, Final, TypeAlias

from director.actions import Action
from director.choice import Why
from director.core import Core
from director.record import Record, decode
from director.roster import Lease
from director.shards import Backend, Shard
from director.store import BadRecord

Question: TypeAlias = Mapping[str, Any]
Row: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = Row | Iterator[Row]

_NOTHING: Final[Sequence[Action]] = ()
_STATES: Final = ("online", "standby", "offline")


class Refused(Exception):
    """It cannot be done, or not be answered; the text says why."""


class Desk:
    """Answers for a core. `node` is the node's name, `wall` gives the seconds since 1970."""

    def __init__(self, core: Core, node: str, wall: Callable[[], float]) -> None:
        self._core = core
        self._node = node
        self._wall = wall
        self._asks: Mapping[str, Callable[[Question, float, bytes | None], tuple[Answer, Sequence[Action]]]] = {
            "backends": self._backends,
            "shards": self._shards,
            "who": self._who,
            "kick": self._kick,
            "move": self._move,
            "drain": self._drain,
            "online": self._set_admin,
            "standby": self._set_admin,
            "offline": self._set_admin,
            "flush": self._flush,
            "moves": self._moves,
            "abort": self._abort,
            "explain": self._explain,
            "limits": self._limits,
            "status": self._status,
        }

    def answer(
        self, question: Question, now: float, *, value: bytes | None = None, extra: Row | None = None
    ) -> tuple[Answer, Sequence[Action]]:
        """Return the answer, rows for a listing, and what is to be done.

        `value` is what the store has for the question's user, `extra` what else is known. {"pending": JOB} is no answer
        yet: ask `outcome`. Raises Refused.
        """
        ask = self._asks.get(_text(question, "ask"))
        if ask is None:
            raise Refused(f"use one of {', '.join(self._asks)}")
        result, actions = ask(question, now, value)
        return ({**result, **extra}, actions) if extra and isinstance(result, Mapping) else (result, actions)

    def outcome(self, job: str) -> Row | None:
        """Return what a job is going to do, or has done; None while that is being found out."""
        survey = self._core.mover.surveys.get(job)
        if survey is None:
            return {"job": job}
        if not survey.done:
            return None
        return {
            "job": job,
            "dry": survey.dry,
            "users": survey.users,
            "sessions": survey.sessions,
            "to": dict(survey.to),
            "complete": survey.complete,
        }

    # Listings.

    def _backends(self, _question: Question, now: float, _value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        core = self._core
        return (
            {
                **row._asdict(),
                "since": self._wall() - (now - row.since),
                "users": len(core.roster.at.get(row.backend, ())),
                "sessions": core.roster.sessions[row.backend],
                "phase": core.mover.failback.phase(row.backend, now),
                "away": core.mover.failback.count(row.backend),
            }
            for row in core.fleet.rows(now)
        ), _NOTHING

    def _shards(self, _question: Question, _now: float, _value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        roster = self._core.roster
        return (
            {
                "shard": shard.name,
                "backends": [backend.name for backend in shard.backends],
                "users": sum(len(roster.at.get(name, ())) for name in shard.names),
                "sessions": sum(roster.sessions[name] for name in shard.names),
            }
            for shard in self._core.fleet.shards.all
        ), _NOTHING

    def _who(self, question: Question, _now: float, _value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        meant = _meaning(_text(question, "target", ""))
        leases = [lease for lease in self._core.roster.leases() if meant(lease)]
        return (self._session(lease) for lease in leases), _NOTHING

    def _session(self, lease: Lease) -> Row:
        return {
            "user": lease.user,
            "protocol": lease.protocol,
            "address": lease.address,
            "backend": lease.backend,
            "shard": lease.shard,
            "session": lease.session,
            "worker": self._core.workers.slots.get(lease.key[0], -1),
            "node": self._node,
            "began": lease.began,
            "leaving": bool(lease.kicked),
        }

    def _moves(self, _question: Question, now: float, _value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        return (
            {
                "job": one.job,
                "users": one.users,
                "waiting": one.waiting,
                "moving": dict(one.moving),
                "over": dict(one.over),
                "unmoved": dict(one.unmoved),
                "began": self._wall() - (now - one.began),
                "ended": None if one.ended is None else self._wall() - (now - one.ended),
            }
            for one in self._core.mover.moves.progress()
        ), _NOTHING

    def _limits(self, question: Question, now: float, _value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        return iter(self._core.guard.rows(_text(question, "target", ""), now)), _NOTHING

    def _status(self, _question: Question, _now: float, _value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        core = self._core
        return {
            "node": self._node,
            "life": core.life,
            "workers": sorted(core.workers.slots.values()),
            "nodes": [
                {"name": name, "age": age, "living": name in core.nodes.living}
                for name, age in sorted(core.nodes.ages.items())
            ],
            "users": core.roster.present,
            "sessions": core.roster.sessions.total(),
            "unsure": len(core.roster.unsure),
            "users_on_two_backends": len(core.roster.split),
            "moving": len(core.mover.moves),
            "away_from_home": len(core.mover.failback),
        }, _NOTHING

    # Orders.

    def _kick(self, question: Question, now: float, _value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        target = _text(question, "target")
        kicked, actions = self._core.kick(target, now)
        return {"kicked": kicked, "node": self._node}, actions

    def _move(self, question: Question, now: float, value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        user, backend, record = _text(question, "user"), self._backend(question), _record(value)
        shard = None if record is None else self._core.fleet.find_shard(record.shard)
        if shard is not None and backend.name not in shard.names and not question.get("force"):
            raise Refused(f"{user} belongs to shard {shard.name}, which has no backend {backend.name}")
        if reason := self._core.fleet.unusable_reason(backend.name):
            raise Refused(f"{backend.name} {reason}")
        known = self._core.roster.users.get(user)
        plan = {
            "job": f"move {user}",
            "users": 0 if record is not None and record.backend == backend.name else 1,
            "sessions": 0 if known is None else len(known.leases),
            "to": {backend.name: 1},
        }
        if question.get("dry"):
            return plan, _NOTHING
        self._writable()
        return plan, self._core.move(user, backend, now)

    def _drain(self, question: Question, now: float, _value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        backend = self._backend(question)
        self._writable()
        job, actions = self._core.drain(backend.name, now, dry=bool(question.get("dry")))
        return {"pending": job}, actions

    def _set_admin(self, question: Question, now: float, _value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        backend, state = self._backend(question), _text(question, "ask")
        self._writable()
        return {"backend": backend.name, "admin": state}, self._core.set_admin(backend.name, state, now)

    def _flush(self, question: Question, now: float, value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        user = _text(question, "user", "")
        self._writable()
        if not user:
            return {"pending": "flush"}, self._core.flush("", now)
        record, actions = _record(value), list(self._core.guard.forgive(user))
        forgiven = {"forgiven": 1} if actions else {}
        if record is None or self._is_held(user, record):
            why = "has no assignment" if record is None else "has sessions; kick or move the user"
            if actions:
                return {"flushed": 0, **forgiven}, actions
            raise Refused(f"{user} {why}")
        return {"flushed": 1, **forgiven}, (*actions, *self._core.flush(user, now))

    def _is_held(self, user: str, record: Record) -> bool:
        """Whether there are sessions of the user; the hold that this node keeps for a while it can give up."""
        known = self._core.roster.users.get(user)
        return bool(record.holders - {self._core.life}) or (known is not None and bool(known.leases))

    def _abort(self, question: Question, now: float, _value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        job = _text(question, "job")
        if not any(one.job == job and one.ended is None for one in self._core.mover.moves.progress()):
            raise Refused(f"no job {job!r} is under way")
        return {"job": job}, self._core.abort(job, now)

    # Explanations.

    def _explain(self, question: Question, now: float, value: bytes | None) -> tuple[Answer, Sequence[Action]]:
        name, core = _text(question, "user"), self._core
        record, known = _record(value), core.roster.users.get(name)
        said = _text(question, "shard", "") or ("" if known is None else known.shard)
        preferred = _text(question, "preferred", "") or ("" if known is None else known.preferred)
        shard = core.fleet.find_shard(said or ("" if record is None else record.shard))
        answer: dict[str, Any] = {
            "user": name,
            "shard": "" if shard is None else shard.name,
            "preferred": preferred,
            "record": None if record is None else _readable(record),
            "sessions": [] if known is None else [self._session(lease) for lease in known.leases.values()],
            "choice": {"problem": f"no shard is called {said!r}"},
            "if_failed": {"problem": "there is no such shard"},
            "candidates": [],
        }
        if shard is not None:
            answer |= self._choices(name, shard, preferred, record, now)
        return answer | {"text": list(_story(answer))}, _NOTHING

    def _choices(self, name: str, shard: Shard, preferred: str, record: Record | None, now: float) -> dict[str, Any]:
        fleet = self._core.fleet
        here = record.backend if record is not None and record.backend in shard.names else ""
        if here and fleet.keeps(here):
            chosen: tuple[str, Why] | None = here, "sticky"
        else:
            chosen = _named(fleet.choose(name, shard, preferred, now))
        failed = None if chosen is None else _named(fleet.if_failed(name, shard, preferred, chosen[0], now))
        return {
            "choice": _choice(chosen),
            "if_failed": _choice(failed),
            "candidates": [one._asdict() for one in fleet.candidates(name, shard, preferred, now)],
        }

    # What questions name.

    def _backend(self, question: Question) -> Backend:
        name = _text(question, "backend")
        backend = self._core.fleet.backend(name)
        if backend is None:
            raise Refused(f"no backend is called {name!r}")
        return backend

    def _writable(self) -> None:
        if self._core.nodes.away_since is not None:
            raise Refused("the store is away; nothing can be changed for all nodes now")


def _text(question: Question, key: str, default: str | None = None) -> str:
    found = question.get(key, default)
    if not isinstance(found, str) or (default is None and not found):
        raise Refused(f"{key!r} is missing, or no text")
    return found


def _record(value: bytes | None) -> Record | None:
    try:
        return None if value is None else decode(value)
    except BadRecord as fault:
        raise Refused(f"the store has a record that is none: {fault}") from None


def _readable(record: Record) -> Row:
    return {
        "backend": record.backend,
        "shard": record.shard,
        "epoch": record.epoch,
        "target": record.target,
        "pinned": record.pinned,
        "holds": {hold.node: hold.epoch for hold in record.holds},
    }


def _named(chosen: tuple[Backend, Why] | None) -> tuple[str, Why] | None:
    return None if chosen is None else (chosen[0].name, chosen[1])


def _choice(chosen: tuple[str, Why] | None) -> Row:
    return {"problem": "no backend may be used"} if chosen is None else {"backend": chosen[0], "why": chosen[1]}


def _meaning(target: str) -> Callable[[Lease], bool]:
    """Which sessions are meant by a user, an address, a network or a backend; "" is everybody."""
    if not target:
        return lambda lease: True
    try:
        network = ip_network(target, strict=False)
    except ValueError:
        return lambda lease: target in (lease.user, lease.backend)
    return lambda lease: lease.address != "" and ip_address(lease.address) in network


_WHY: Final[Mapping[str, str]] = {
    "sticky": "because the user is assigned there",
    "preferred": "because the entry prefers it",
    "priority": "because it goes first",
    "hash": "because it was drawn among those that go first",
    "failover": "because what goes first cannot be used",
}


def _story(answer: Mapping[str, Any]) -> Iterator[str]:
    """What an operator wants to know at three in the morning."""
    user, record = answer["user"], answer["record"]
    if record is None:
        yield f"{user} is not assigned to any backend."
    else:
        yield f"{user} is assigned to {record['backend']} of shard {record['shard']}."
        if record["target"]:
            yield f"A move to {record['target']} is under way: new logins wait until the sessions have ended."
        if record["holds"]:
            nodes = Counter(node.partition("/")[0] for node in record["holds"])
            yield f"Sessions on {', '.join(nodes)} hold the user there, or did so until some seconds ago."
        else:
            yield "No session holds the user there; the assignment ends by itself."
    choice, failed = answer["choice"], answer["if_failed"]
    if "backend" in choice:
        yield f"A login now goes to {choice['backend']}, {_WHY[choice['why']]}."
        if "backend" in failed:
            yield f"If that failed, logins would go to {failed['backend']}."
        else:
            yield "If that failed, logins would be told to come back later."
    else:
        yield f"A login now is told to come back later: {choice['problem']}."
    for one in islice(answer["candidates"], 10):
        if one["reason"]:
            yield f"{one['backend']} {one['reason']}."

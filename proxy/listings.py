"""What the director's listings look like to an operator: columns, order, and the line at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.tables import Column, Row, Tone, age, amount, parts, since, table, whole

_STANDINGS: Mapping[str, str] = {
    "up": "serving",
    "alone": "unreachable from here only",
    "down": "down, yet still used",
    "out": "down, out of service",
}
_ADMIN: Mapping[str, str] = {"standby": "standby", "offline": "offline"}
_PHASES: Mapping[str, str] = {
    "settling": "waits until it is steady",
    "gate": "waits for the sync gate",
    "returning": "under way",
}
_STATES: Mapping[str, Tone] = {"serving": "good", "standby": "poor", "offline": "poor"}


@dataclass(frozen=True, slots=True)
class Listing:
    """One kind of listing: `order` is the key to sort rows by, `total` the last line."""

    columns: Sequence[Column]
    order: Callable[[Row], Any]
    total: Callable[[Sequence[Row]], str]

    def lines(self, rows: Iterable[Row], *, width: int = 0, coloured: bool = False) -> list[str]:
        """The whole listing as text."""
        ordered = sorted(rows, key=self.order)
        return [*table(self.columns, ordered, width=width, coloured=coloured), self.total(ordered)]


def state(row: Row) -> str:
    """What a backend does, in words: the operator's word first, then what was measured."""
    admin, standing = _restriction(row), str(row.get("standing", ""))
    measured = "" if admin and standing == "up" else _STANDINGS.get(standing, standing)
    return ", ".join(word for word in (admin, measured) if word)


def _restriction(row: Row) -> str:
    """The operator's word, if it is one that keeps users away."""
    return _ADMIN.get(row.get("admin", ""), "")


def _tone(row: Row) -> Tone:
    return _STATES.get(state(row), "bad")


def _column(title: str, name: str) -> Column:
    return Column(title, lambda row: str(row.get(name, "")))


def _count(title: str, name: str) -> Column:
    return Column(title, lambda row: whole(row.get(name)), right=True)


def _age(title: str, name: str) -> Column:
    return Column(title, lambda row: since(row.get(name), time.time()), right=True)


def _share(row: Row) -> str:
    share = row.get("share", 1)
    return f"{share:.0%}" if isinstance(share, (int, float)) and share < 1 else ""


def _failback(row: Row) -> str:
    """What those wait for who are away from this backend; "" when nobody is."""
    if not row.get("away"):
        return ""
    admin = _restriction(row)
    return f"not while {admin}" if admin else _PHASES.get(row.get("phase", ""), "waits until it is up")


def _sum(rows: Iterable[Row], name: str) -> int:
    return sum(row.get(name) or 0 for row in rows)


# --- backends and shards ---


def _backends_total(rows: Sequence[Row]) -> str:
    once = {row["backend"]: row for row in rows}.values()
    states = Counter(map(state, once))
    loads = f"{amount(_sum(once, 'users'), 'user')}, {amount(_sum(once, 'sessions'), 'session')}"
    return f"{amount(len(once), 'backend')}: {parts(states)}; {loads}" if once else "no backends"


BACKENDS = Listing(
    (
        _column("BACKEND", "backend"),
        _column("SHARD", "shard"),
        _column("SITE", "site"),
        _column("HOST", "host"),
        _count("PRIO", "priority"),
        _count("WEIGHT", "weight"),
        Column("STATE", state, tone=_tone),
        _age("SINCE", "since"),
        _count("USERS", "users"),
        _count("SESSIONS", "sessions"),
        Column("NEW USERS", _share, right=True),
        Column("AWAY", lambda row: whole(row.get("away") or None), right=True),
        Column("FAILBACK", _failback),
        _column("PROBLEM", "problem"),
    ),
    lambda row: (row.get("shard", ""), row.get("priority", 0), row["backend"]),
    _backends_total,
)

SHARDS = Listing(
    (
        _column("SHARD", "shard"),
        Column("BACKENDS", lambda row: " ".join(row.get("backends", ()))),
        _count("USERS", "users"),
        _count("SESSIONS", "sessions"),
    ),
    lambda row: row["shard"],
    lambda rows: (
        f"{amount(len(rows), 'shard')}; "
        f"{amount(_sum(rows, 'users'), 'user')}, {amount(_sum(rows, 'sessions'), 'session')}"
    ),
)


# --- sessions ---


def _who_total(rows: Sequence[Row]) -> str:
    users = len({row.get("user") for row in rows})
    nodes = sorted({str(row["node"]) for row in rows if row.get("node")})
    leaving = sum(bool(row.get("leaving")) for row in rows)
    ending = f", {leaving:,} about to end" if leaving else ""
    place = f", on {', '.join(nodes)}" if nodes else ""
    return f"{amount(len(rows), 'session')} of {amount(users, 'user')}{ending}{place}" if rows else "no sessions"


WHO = Listing(
    (
        _column("USER", "user"),
        _column("PROTOCOL", "protocol"),
        _column("ADDRESS", "address"),
        _column("BACKEND", "backend"),
        _column("SHARD", "shard"),
        _age("SINCE", "began"),
        Column("", lambda row: "leaving" if row.get("leaving") else "", tone=lambda row: "poor"),
        Column("WORKER", lambda row: f"{row['worker']}" if row.get("worker", -1) >= 0 else "", right=True),
        _column("SESSION", "session"),
    ),
    lambda row: (row.get("user", ""), row.get("began") or 0),
    _who_total,
)


# --- moves ---


def unmoved(job: Row) -> int:
    """How many users of a job that is over, or of what is over of it, were not moved."""
    return sum(number for outcome, number in job.get("over", {}).items() if outcome != "moved")


def _moves_total(rows: Sequence[Row]) -> str:
    open_jobs = [row for row in rows if not row.get("ended")]
    left = _sum(open_jobs, "waiting") + sum(sum(row.get("moving", {}).values()) for row in open_jobs)
    going = f"{len(open_jobs):,} under way with {amount(left, 'user')} to go" if open_jobs else "none under way"
    return f"{amount(len(rows), 'move')}, {going}" if rows else "no moves"


def _took(row: Row) -> str:
    began, ended = row.get("began"), row.get("ended")
    return f"over in {age(ended - began)}" if began and ended else "under way"


MOVES = Listing(
    (
        _column("MOVE", "job"),
        _count("USERS", "users"),
        _count("WAITING", "waiting"),
        Column("MOVING", lambda row: parts(row.get("moving", {}))),
        Column("MOVED", lambda row: whole(row.get("over", {}).get("moved", 0)), right=True),
        Column(
            "NOT MOVED",
            lambda row: parts({word: n for word, n in row.get("over", {}).items() if word != "moved"}),
            tone=lambda row: "bad",
        ),
        _age("BEGAN", "began"),
        Column("", _took),
    ),
    lambda row: row.get("began") or 0,
    _moves_total,
)


# --- limits ---

_LIMITS: Mapping[str, str] = {
    "connections": "too many connections",
    "penalty": "failed logins",
    "user": "sessions of the user",
    "address": "sessions of the address",
    "pair": "sessions of both",
    "exempt": "none: exempt",
}


def _limits_total(rows: Sequence[Row]) -> str:
    waiting = sum(bool(row.get("wait")) for row in rows)
    return (
        f"{amount(len(rows), 'entry', 'entries')}, {waiting:,} with a wait"
        if rows
        else "nobody waits, or is near a limit"
    )


LIMITS = Listing(
    (
        _column("USER", "user"),
        _column("ADDRESS", "address"),
        _count("SESSIONS", "sessions"),
        Column("ELSEWHERE", lambda row: whole(row.get("elsewhere") or None), right=True),
        Column("OF", lambda row: whole(row.get("most") or None), right=True),
        Column("FAILURES", lambda row: f"{row['failures']:.1f}" if row.get("failures") else "", right=True),
        Column("WAITS", lambda row: age(row["wait"]) if row.get("wait") else "", right=True),
        Column("LIMIT", lambda row: _LIMITS.get(row.get("limit", ""), row.get("limit", "")), tone=lambda row: "poor"),
    ),
    lambda row: (-(row.get("wait") or 0), -(row.get("sessions") or 0), row.get("user", ""), row.get("address", "")),
    _limits_total,
)


# --- the node ---


def status_lines(status: Row, now: float) -> list[str]:
    """How the director is; `now` is in seconds since 1970."""
    rows = list(_status_rows(status, now))
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {text}" for name, text in rows]


def _status_rows(status: Row, now: float) -> Iterator[tuple[str, str]]:
    yield "node", f"{status.get('node', '')}, in this life {status.get('life', '')}"
    yield "store", _store_words(status.get("store", {}), now)
    yield "workers", ", ".join(map(str, status.get("workers", ()))) or "none is connected"
    nodes = sorted(status.get("nodes", ()), key=lambda node: str(node["name"]))
    yield "nodes", ", ".join(map(_node_words, nodes)) or "this one only"
    yield "load", f"{amount(status.get('users'), 'user')}, {amount(status.get('sessions'), 'session')}"
    yield "being moved", amount(status.get("moving"), "user")
    yield "away from home", amount(status.get("away_from_home"), "user")
    unsure = status.get("unsure", 0)
    yield "unsure", f"{amount(unsure, 'user')} assigned without the store"
    twice = status.get("users_on_two_backends", 0)
    yield "on two backends", amount(twice, "user") + (": look at `vestibule who`" if twice else "")


def _node_words(node: Row) -> str:
    heard = f"heard {age(node['age'])} ago" if node.get("living", True) else f"DEAD, silent for {age(node['age'])}"
    return f"{str(node['name']).partition('/')[0]} ({heard})"


def _store_words(store: Row, now: float) -> str:
    kind, latency = store.get("kind", "memory"), store.get("latency")
    if store.get("away"):
        return f"{kind}, AWAY for {since(store.get('since'), now)}: this node goes on alone"
    return f"{kind}, answers in {latency * 1000:.1f} ms" if latency and kind != "memory" else str(kind)

"""A core in numbers, for whoever watches."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from director.core import Core


def figures(core: Core, now: float) -> Mapping[str, Any]:
    """Return how things are now, and what has been counted since the core began.

    sessions    {backend: sessions of this node}
    users       {backend: users with sessions on this node}
    standing    {backend: up, alone, down or out}
    admin       {backend: online, standby or offline}
    view        {backend: up or down, as this node sees it}
    moving      {"waiting" or a step of `director.moves`: users}
    split       users with sessions on two backends
    unsure      users who were assigned while the store was away
    nodes       nodes that live

    Counted:

    ejections   {backend: times it was taken out}
    assigns     {why, of `Grant`: sessions}
    refusals    {reason, of `Refuse`: sessions}
    kicks       {reason, of `Kick`: sessions}
    limits      {limit: times that it stood against something}
    moves       {outcome of `director.moves`: users}, of the jobs that are still remembered
    """
    rows, jobs = core.fleet.rows(now), core.mover.moves.progress()
    moving: Counter[str] = Counter()
    moves: Counter[str] = Counter()
    for job in jobs:
        moving["waiting"] += job.waiting
        moving.update(job.moving)
        moves.update(job.over)
    return {
        "sessions": dict(core.roster.sessions),
        "users": {backend: len(users) for backend, users in core.roster.at.items()},
        "standing": {row.backend: row.standing for row in rows},
        "admin": {row.backend: row.admin for row in rows},
        "view": {row.backend: row.view for row in rows},
        "moving": moving,
        "split": len(core.roster.split),
        "unsure": len(core.roster.unsure),
        "nodes": len(core.nodes.living),
        "ejections": dict(core.ejections),
        "assigns": dict(core.books.counts.assigns),
        "refusals": dict(core.books.counts.refusals),
        "kicks": dict(core.books.counts.kicks),
        "limits": dict(core.guard.refusals),
        "moves": moves,
    }

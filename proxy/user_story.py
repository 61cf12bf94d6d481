"""What the directory and the director know about one user, in words for somebody who was woken by a telephone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ldapmap import Directory, DirectoryError, canonical
from proxy.config import ConfigurationError
from proxy.console import Console
from proxy.explanation import Explanation, Step
from proxy.listings import state
from proxy.lookup import entry_steps, open_for_commands
from proxy.settings import Settings
from proxy.tables import Row, amount, since

DIRECTORY_SECONDS = 10.0
"""Longest wait for the directory; the director is asked without it then."""

MOST_SESSIONS = 20
"""So many sessions are told one by one."""

_WHY: Mapping[str, str] = {
    "sticky": "is assigned there",
    "preferred": "the entry prefers it",
    "priority": "it alone has the best priority",
    "hash": "drawn by the user's name among those of the best priority",
    "failover": "those that come first cannot be used",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What the directory says about a user. With a `problem` it says nothing, and `user` is the canonical name only."""

    user: str
    shard: str = ""
    preferred: str = ""
    steps: tuple[Step, ...] = ()
    problem: str = ""


def ask_directory(settings: Settings, typed: str) -> Told:
    """Ask as a login would. Raises InvalidName for what cannot be a user's name."""
    user = canonical(typed, settings.directory.names)
    try:
        directory = open_for_commands(settings)
        entry = asyncio.run(_find(directory, typed))
    except DirectoryError as error:
        return Told(user, problem=f"{type(error).__name__}: {error.reason}")
    except ConfigurationError as error:
        return Told(user, problem=str(error))
    except TimeoutError:
        return Told(user, problem=f"no answer within {DIRECTORY_SECONDS:g} s")
    return Told(entry.user, entry.shard, entry.preferred, tuple(entry_steps(entry)))


async def _find(directory: Directory, typed: str) -> Any:
    await directory.start()
    try:
        async with asyncio.timeout(DIRECTORY_SECONDS):
            return await directory.find(typed)
    finally:
        await directory.close()


def ask_director(console: Console, told: Told) -> Row:
    """What the director knows and would do. Raises `director.Unanswered` and `director.Refused`."""
    return console.answer("explain", user=told.user, shard=told.shard, preferred=told.preferred)


def story(typed: str, told: Told, answer: Row, now: float) -> Explanation:
    """Everything in the order in which one asks; `now` is in seconds since 1970."""
    steps = (
        *_directory_steps(told),
        *_place_steps(answer),
        *_session_steps(answer, now),
        *_outlook_steps(answer),
        *_candidate_steps(answer),
    )
    return Explanation(typed, not told.problem or bool(answer.get("record") or answer.get("sessions")), steps)


def _directory_steps(told: Told) -> Iterator[Step]:
    if not told.problem:
        yield from told.steps
        return
    yield "user", told.user
    yield "directory", f"{told.problem}; what follows is what the director remembers"


# --- where the user is, and why ---


def _place_steps(answer: Row) -> Iterator[Step]:
    record = answer.get("record")
    if not record:
        yield "is at", "no backend: the next login decides"
        return
    number = len(answer.get("sessions", ()))
    kept = f"with {amount(number, 'session')} on this node" if number else "with no session on this node"
    yield "is at", f"{record['backend']} of shard {record['shard']}, {kept}"
    yield from _reason_steps(record, answer)
    yield from _hold_steps(record)
    if record.get("target"):
        text = f"to {record['target']}: new logins wait until all sessions on {record['backend']} have ended"
        yield "move under way", text


def _reason_steps(record: Row, answer: Row) -> Iterator[Step]:
    """The candidates come in the order in which they should serve, so the first one is the user's home."""
    candidates = answer.get("candidates", ())
    if not candidates:
        return
    home = candidates[0]
    if record["backend"] not in [candidate["backend"] for candidate in candidates]:
        yield "why there", f"by an earlier route: it does not belong to shard {answer.get('shard', '')}"
    elif home["backend"] == record["backend"]:
        yield "why there", "of all backends of the shard it comes first for this user"
    else:
        yield "why there", f"{home['backend']} comes first for this user, {_absence(record, home)}"


def _absence(record: Row, home: Row) -> str:
    """Why the user is not at home."""
    if record["pinned"]:
        return "but an operator has moved the user; that lasts as long as the assignment"
    back = "; failback is going to bring the user back" if home["usable"] else ""
    return f"and it {_condition(home)}{back}"


def _hold_steps(record: Row) -> Iterator[Step]:
    for node, epoch in record["holds"].items():
        late = "" if epoch == record["epoch"] else ", where old sessions are being closed"
        yield "held by node", f"{node.partition('/')[0]}{late}"
    if not record["holds"]:
        yield "held by node", "none: no sessions; the assignment is forgotten in a while"


def _session_steps(answer: Row, now: float) -> Iterator[Step]:
    sessions = answer.get("sessions", ())
    for session in sessions[:MOST_SESSIONS]:
        leaving = ", about to end" if session.get("leaving") else ""
        elsewhere = f" at {session['backend']}" if session["backend"] != _backend(answer) else ""
        lasts = f" for {since(session['began'], now)}" if session["began"] else ""
        text = f"{session['protocol']} from {session['address']}{elsewhere}{lasts}{leaving}"
        yield "session", f"{text}, id {session['session']}"
    if len(sessions) > MOST_SESSIONS:
        yield "session", f"and {len(sessions) - MOST_SESSIONS:,} more"


def _backend(answer: Row) -> str:
    return str((answer.get("record") or {}).get("backend", ""))


# --- what would be ---


def _outlook_steps(answer: Row) -> Iterator[Step]:
    choice = answer.get("choice") or {}
    if not answer.get("shard"):
        yield "the next login", "is refused, unless the directory knows a shard for the user by then"
        return
    yield "the next login", _choice_words(choice)
    place = _backend(answer) or choice.get("backend", "")
    if place:
        yield f"if {place} failed", _choice_words(answer.get("if_failed") or {})


def _choice_words(choice: Row) -> str:
    if choice.get("backend"):
        why = str(choice.get("why", ""))
        return f"goes to {choice['backend']}: {_WHY.get(why, why)}"
    return f"gets no backend: {choice.get('problem')}"


def _candidate_steps(answer: Row) -> Iterator[Step]:
    for position, candidate in enumerate(answer.get("candidates", ()), 1):
        yield f"candidate {position}", f"{candidate['backend']} {_condition(candidate)}"


def _condition(candidate: Row) -> str:
    return str(candidate["reason"]) or f"is {state(candidate)}"

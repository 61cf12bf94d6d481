"""The independent checker: reads from the mail servers' own logs who was where and when.

It knows nothing of what stands before the servers. What counts is what they wrote: a completed login begins a
session, the line of its end or of its process's end ends it. A log's time is when Dovecot's log process wrote the
line, so that a server that is stopped writes late.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import combinations
from typing import NamedTuple

from .dsync import READER

Interval = tuple[float, float]
"""From and to, in seconds since 1970."""

_TIME = r"^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}) "

_LOGIN = re.compile(
    _TIME + r"(?P<protocol>imap|pop3|managesieve)-login: Info: Login: user=<(?P<user>[^>]*)>,.* rip=(?P<address>[^,]*),"
    r".* mpid=(?P<pid>\d+),.* session=<(?P<session>[^>]*)>"
)
_END = re.compile(
    _TIME + r"(?:imap|pop3|managesieve)\([^)]*\)<(?P<pid>\d+)><(?P<session>[^>]*)>: Info: "
    r"(?:Disconnected|Logged out|Connection closed)"
)
_DEATH = re.compile(_TIME + r"master: .*service\((?:imap|pop3|managesieve)\): child (?P<pid>\d+) (?:killed|returned)")


class Session(NamedTuple):
    """A user's session on a server; one that has not ended lasts until the end of the observation."""

    user: str
    server: str
    protocol: str
    address: str
    session: str
    began: float
    ended: float


class Overlap(NamedTuple):
    """A user was on two servers at the same time."""

    user: str
    seconds: float
    servers: tuple[str, str]
    began: float


class Witness:
    """What the logs of several servers say together; `logs` and `kills` are by the servers' names.

    `kills` are the times (seconds since 1970) at which a server was ended without being able to say so. Sessions of
    `without_users` do not count, nor those from `without_addresses`. The observation ends at `until`, by default now.
    """

    def __init__(
        self,
        logs: Mapping[str, str],
        kills: Mapping[str, Sequence[float]] | None = None,
        *,
        without_users: Collection[str] = (),
        without_addresses: Collection[str] = (READER,),
        until: float | None = None,
    ) -> None:
        end = time.time() if until is None else until
        self.sessions = [
            session
            for server, log in logs.items()
            for session in _sessions(server, log.splitlines(), sorted((kills or {}).get(server, ())), end)
            if session.user not in without_users and session.address not in without_addresses
        ]

    def intervals(self, user: str) -> dict[str, list[Interval]]:
        """When the user was on each server: in order, and apart from each other."""
        found = defaultdict(list)
        for session in self.sessions:
            if session.user == user:
                found[session.server].append((session.began, session.ended))
        return {server: _merged(intervals) for server, intervals in found.items()}

    def overlaps(self, longer_than: float = 0.0) -> list[Overlap]:
        """Every time a user was on two servers at once, for more than so many seconds; the longest first."""
        found = [overlap for user in {session.user for session in self.sessions} for overlap in self._of(user)]
        return sorted((each for each in found if each.seconds > longer_than), key=lambda each: -each.seconds)

    def _of(self, user: str) -> Iterator[Overlap]:
        intervals = self.intervals(user)
        for one, other in combinations(sorted(intervals), 2):
            for began, ended in _common(intervals[one], intervals[other]):
                yield Overlap(user, ended - began, (one, other), began)


def _sessions(server: str, lines: Sequence[str], kills: Sequence[float], until: float) -> Iterator[Session]:
    """Lines of different processes may be in the wrong order, an end before its login."""
    logins = [found for found in map(_LOGIN.match, lines) if found]
    ends = {(found["pid"], found["session"]): _seconds(found) for found in map(_END.match, lines) if found}
    deaths = defaultdict(list)
    for found in filter(None, map(_DEATH.match, lines)):
        deaths[found["pid"]].append(_seconds(found))
    for login in logins:
        began = _seconds(login)
        ended = ends.get((login["pid"], login["session"]))
        if ended is None:
            ended = min((at for at in (*deaths[login["pid"]], *kills) if at >= began), default=until)
        yield Session(
            login["user"],
            server,
            login["protocol"],
            login["address"],
            login["session"],
            min(began, ended),
            ended,
        )


def _seconds(found: re.Match[str]) -> float:
    """Seconds since 1970; logs have local time."""
    return datetime.strptime(found["time"], "%Y-%m-%d %H:%M:%S.%f").astimezone().timestamp()


def _merged(intervals: Sequence[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for began, ended in sorted(intervals):
        if merged and began <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(ended, merged[-1][1])
        else:
            merged.append((began, ended))
    return merged


def _common(some: Sequence[Interval], others: Sequence[Interval]) -> Iterator[Interval]:
    """Where both are, for longer than a moment."""
    for began, ended in some:
        for from_, to in others:
            if max(began, from_) < min(ended, to):
                yield max(began, from_), min(ended, to)

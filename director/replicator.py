"""What Dovecot 2.3's replicator says about itself, judged: has everybody been carried over since a certain moment?

Three answers of one server are judged together, asked for in this order: the status of all users, what its dsync
processes do, and how many users have failed. Rules that are not obvious:

* While a synchronisation runs, even to a partner that hangs, the status of its user says that nothing is to be done;
  only the dsync process shows it. One that ends between the first two answers shows in the third if it has failed.
* What the partner synchronises makes the user's fast sync younger but not the success, so that the ages of the two
  say nothing about each other; the success is always this server's own.
* Ages have steps of a second.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, NamedTuple, TypeAlias

from msgspec import Meta, Raw, Struct, field
from msgspec.json import Decoder

Question: TypeAlias = tuple[str, Mapping[str, object]]
"""A command of the doveadm API and its parameters."""

STATUS: Final[Question] = ("replicatorStatus", {"userMask": "*"})
SYNCS: Final[Question] = ("replicatorDsyncStatus", {})
FAILURES: Final[Question] = ("replicatorStatus", {})
"""The three whose answers are judged."""

_SHOWN: Final = 3
"""So many users are named; the rest are counted."""

_STUCK: Final = frozenset({"failed", "not synchronised since"})

_STEP: Final = 1.0
"""Seconds by which an age may be too large."""

_Age: TypeAlias = Annotated[str, Meta(pattern=r"^(-|[0-9]+:[0-9]{2}:[0-9]{2})$")]


class Judgement(NamedTuple):
    """Who has not been carried over, in words, "" when all have been; and whom the replicator leaves alone for now
    nevertheless, since it has just failed (it tries again after five minutes) or has forgotten."""

    problem: str
    stuck: tuple[str, ...] = ()


class Unreadable(Exception):
    """The answer is an error, or not what a replicator says; the text is for the log."""


class _User(Struct, frozen=True, gc=False):
    username: str
    priority: str
    failed: str
    fast: _Age = field(name="fast sync")
    success: _Age = field(name="success sync")


class _Sync(Struct, frozen=True, gc=False):
    username: str
    status: str


class _Count(Struct, frozen=True, gc=False):
    field: str
    value: str


class _Connection(Struct, frozen=True, gc=False):
    username: str


class _Error(Struct, frozen=True, gc=False):
    type: str
    code: int = field(name="exitCode", default=0)


_envelope: Final = Decoder(list[tuple[str, Raw, str]])
_users: Final = Decoder(list[_User])
_syncs: Final = Decoder(list[_Sync])
_counts: Final = Decoder(list[_Count])
_connections: Final = Decoder(list[_Connection])
_errors: Final = Decoder(_Error)


def rows(answer: bytes) -> Raw:
    """Return the rows of the doveadm API's answer to one command. Raises Unreadable if it has failed."""
    try:
        ((kind, content, _),) = _envelope.decode(answer)
        if kind == "doveadmResponse":
            return content
        error = _errors.decode(content)
    except ValueError as fault:
        raise Unreadable(f"the answer is not doveadm's: {fault}") from None
    raise Unreadable(f"doveadm has failed: {error.type} {error.code}")


def replicate(user: str = "*") -> Question:
    """The order to synchronise a user, or everybody, soon."""
    return "replicatorReplicate", {"userMask": user}


def judge(status: bytes, syncs: bytes, failures: bytes, *, since: float, max_lag: float) -> Judgement:
    """Return what the three answers say together.

    `since` is how long ago it began to count (s): who was not synchronised after that is behind. One who is being
    synchronised counts as behind after `max_lag` seconds. Raises Unreadable.
    """
    try:
        users = _users.decode(rows(status))
        syncing = {row.username for row in _syncs.decode(rows(syncs)) if row.status.startswith("Waiting")}
        failed = sum(int(row.value) for row in _counts.decode(rows(failures)) if "'failed'" in row.field)
    except ValueError as fault:
        raise Unreadable(f"the answer is not a replicator's: {fault}") from None
    if not users:
        return Judgement("the replicator knows no users")
    behind = list(_behind(users, syncing, since, max_lag))
    stuck = tuple(user for user, why in behind if why in _STUCK)
    return Judgement(_story(behind, len(users)) or _failures(failed), stuck)


def has_sessions(user: str, who: bytes) -> bool:
    """Whether the answer to `who` lists the user. Raises Unreadable."""
    try:
        return user.casefold() in {row.username.casefold() for row in _connections.decode(rows(who))}
    except ValueError as fault:
        raise Unreadable(f"the answer is no list of sessions: {fault}") from None


def _behind(users: Sequence[_User], syncing: set[str], since: float, max_lag: float) -> Iterator[tuple[str, str]]:
    """Each user who is behind, and why."""
    for user in users:
        late = user.failed != "-" or user.success == "-" or _seconds(user.success) > since + _STEP
        if user.priority != "none":
            yield user.username, "waiting"
        elif user.username in syncing:
            if late or _seconds(user.fast) >= max_lag:
                yield user.username, "being synchronised"
        elif late:
            yield user.username, "not synchronised since" if user.failed == "-" else "failed"


def _seconds(age: str) -> float:
    if age == "-":
        return 0.0
    hours, minutes, seconds = map(int, age.split(":"))
    return hours * 3600.0 + minutes * 60 + seconds


def _story(late: Sequence[tuple[str, str]], total: int) -> str:
    if not late:
        return ""
    named = ", ".join(f"{user} ({why})" for user, why in late[:_SHOWN])
    return f"{len(late)} of {total} users are behind, such as {named}"


def _failures(failed: int) -> str:
    return f"{failed} users have just failed" if failed else ""

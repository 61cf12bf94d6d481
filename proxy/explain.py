"""Why a user is sent where: every step from the typed name to what a backend would be told, without logging in.

The directory is really asked. The director is a fresh one, so it takes every backend for usable and knows nothing of
assignments that the running daemon keeps.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from director import Backend, Candidate, Decision, Director, NoBackend, NoShard, Shards, Why
from ldapmap import Directory, DirectoryError, Entry, LdifFault, open_directory
from proxy.config import ConfigurationError
from proxy.outgoing import directory_context
from proxy.reading import Fault
from proxy.sections import ProtocolName
from proxy.settings import Settings

Step = tuple[str, str]
"""What was done or found, and its result."""

_REASONS: Mapping[Why, str] = {
    "sticky": "the user is there already",
    "preferred": "the entry prefers it",
    "priority": "it alone has the best priority",
    "hash": "drawn by the user's name among those of the best priority",
    "failover": "those that come first are down",
}
_TLS_WORDS = {"implicit": "TLS from the first byte", "starttls": "STARTTLS", "off": "no TLS"}
_FORWARDING = {"imap": "IMAP ID, if it offers ID", "pop3": "XCLIENT, if it offers that"}
_FORWARDING |= {"managesieve": _FORWARDING["pop3"]}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The steps of one user's way, and whether it leads anywhere."""

    typed: str
    found: bool
    steps: tuple[Step, ...]

    def as_text(self) -> str:
        """A line for each step; text that could disturb a terminal is quoted."""
        width = max(len(label) for label, _ in self.steps)
        return "\n".join(f"{label:<{width}}  {_printable(value)}" for label, value in self.steps)

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "typed": self.typed,
            "found": self.found,
            "steps": [{"step": label, "result": value} for label, value in self.steps],
        }


def explain(settings: Settings, typed: str, protocol: ProtocolName | None = None) -> Explanation:
    """Follows a name as a client would send it; raises ConfigurationError when the directory cannot be opened."""
    directory = _open(settings)
    steps: list[Step] = list(directory.describe(typed))
    try:
        entry = asyncio.run(_find(directory, typed))
        steps += _entry_steps(entry)
        director = Director(settings.director, Shards(settings.shard), time.monotonic)
        decision = director.explain(entry.user, entry.shard, entry.preferred)
        steps += _decision_steps(decision)
        steps += _login_steps(settings, entry, _chosen(decision), protocol or settings.protocols[0])
    except DirectoryError as error:
        return Explanation(typed, False, (*steps, ("refused", f"{type(error).__name__}: {error.reason}")))
    except (NoShard, NoBackend) as error:
        return Explanation(typed, False, (*steps, ("refused", str(error))))
    return Explanation(typed, True, tuple(steps))


def _open(settings: Settings) -> Directory:
    try:
        return open_directory(settings.directory, directory_context(settings.directory))
    except (OSError, ValueError, LdifFault) as error:
        raise ConfigurationError(Fault("directory", str(error))) from None


async def _find(directory: Directory, typed: str) -> Entry:
    await directory.start()
    try:
        return await directory.find(typed)
    finally:
        await directory.close()


def _entry_steps(entry: Entry) -> Iterator[Step]:
    yield "entry", entry.dn
    yield "user", entry.user
    yield "value of the shard attribute", entry.shard
    if entry.preferred:
        yield "preferred backend", entry.preferred
    if entry.login:
        yield "name at the backend", entry.login


def _decision_steps(decision: Decision) -> Iterator[Step]:
    yield "shard", decision.shard
    for position, candidate in enumerate(decision.candidates, 1):
        yield f"candidate {position}", _candidate_words(candidate)
    if decision.chosen is not None and decision.why is not None:
        yield "choice", f"{decision.chosen.name}: {_REASONS[decision.why]}"


def _candidate_words(candidate: Candidate) -> str:
    backend = candidate.backend
    return f"{backend.name} ({candidate.state}), priority {backend.priority}, weight {backend.weight}"


def _chosen(decision: Decision) -> Backend:
    if decision.chosen is None:
        raise NoBackend(decision.shard)
    return decision.chosen


def _login_steps(settings: Settings, entry: Entry, backend: Backend, protocol: ProtocolName) -> Iterator[Step]:
    login = settings.backend_login
    verified = "" if login.tls == "off" else ", certificate verified" if login.verify else ", certificate not verified"
    port = settings.backend_port(backend.ports, protocol)
    yield "connection", f"{protocol} to {backend.host} port {port}, {_TLS_WORDS[login.tls]}{verified}"
    if login.proxy_protocol:
        yield "client's address", "PROXY v2 header"
    elif login.forward_client:
        yield "client's address", _FORWARDING[protocol]
    yield "login", _login_words(settings, entry.login or entry.user)


def _login_words(settings: Settings, name: str) -> str:
    login = settings.backend_login
    if login.mode == "password":
        return f"as {name} with the user's own password"
    if login.master_form == "separator":
        return f"as {name}{login.master_separator}{login.master_user} with the master user's password"
    return f"SASL PLAIN: {login.master_user} with the master user's password, acting for {name}"


def _printable(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)

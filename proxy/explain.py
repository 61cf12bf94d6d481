"""Why a user is sent where: every step from the typed name to what a backend would be told, without logging in.

The directory is really asked. The director is a fresh one, so it takes every backend for usable and knows nothing of
assignments that the running daemon keeps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

from director import Backend, Candidate, Decision, Director, NoBackend, NoShard, Shards, Why
from ldapmap import Directory, DirectoryError, Entry
from proxy.explanation import Explanation, Step
from proxy.lookup import entry_steps, open_for_commands
from proxy.sections import ProtocolName
from proxy.settings import Settings

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


def explain(settings: Settings, typed: str, protocol: ProtocolName | None = None) -> Explanation:
    """Follows a name as a client would send it; raises ConfigurationError when the directory cannot be opened."""
    directory = open_for_commands(settings)
    steps: list[Step] = list(directory.describe(typed))
    try:
        entry = asyncio.run(_find(directory, typed))
        steps += entry_steps(entry)
        director = Director(settings.director, Shards(settings.shard), time.monotonic)
        decision = director.explain(entry.user, entry.shard, entry.preferred)
        steps += _decision_steps(decision)
        steps += _login_steps(settings, entry, _chosen(decision), protocol or settings.protocols[0])
    except DirectoryError as error:
        return Explanation(typed, False, (*steps, ("refused", f"{type(error).__name__}: {error.reason}")))
    except (NoShard, NoBackend) as error:
        return Explanation(typed, False, (*steps, ("refused", str(error))))
    return Explanation(typed, True, tuple(steps))


async def _find(directory: Directory, typed: str) -> Entry:
    await directory.start()
    try:
        return await directory.find(typed)
    finally:
        await directory.close()


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

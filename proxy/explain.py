"""Why a user is sent where: every step from the typed name to what a backend would be told, without logging in.

The directory is really asked. The director is not: where a user goes is told as far as the configuration says, with
every backend up and nobody assigned anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from director import Backend, Decision, DirectorError, Why, decide
from ldapmap import Directory, DirectoryError, Entry
from proxy.explanation import Explanation, Step
from proxy.lookup import entry_steps, open_for_commands
from proxy.routes import known_shards
from proxy.sections import ProtocolName
from proxy.settings import Settings

#: The two other reasons are those of the running director.
_REASONS: Mapping[Why, str] = {
    "preferred": "the entry prefers it",
    "priority": "it alone has the best priority",
    "hash": "drawn by the user's name among those of the best priority",
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
        decision = decide(entry.user, entry.shard, entry.preferred, known_shards(settings))
        steps += _decision_steps(decision)
        steps += _login_steps(settings, entry, decision.chosen, protocol or settings.protocols[0])
    except DirectoryError as error:
        return Explanation(typed, False, (*steps, ("refused", f"{type(error).__name__}: {error.reason}")))
    except DirectorError as error:
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
    for position, backend in enumerate(decision.candidates, 1):
        yield f"candidate {position}", f"{backend.name}, priority {backend.priority}, weight {backend.weight}"
    yield "choice", f"{decision.chosen.name}: {_REASONS[decision.why]}"
    yield "not asked here", "what is down and where the user is now; `vestibule explain` asks the running director"


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

"""Which domain controller it is that answers, and how far its database has got (MS-ADTS 3.1.1.3.2, the root DSE)."""

from __future__ import annotations

from typing import NamedTuple

from ldapmap.client.filters import Present
from ldapmap.client.messages import FoundEntry
from ldapmap.errors import Misconfigured
from ldapmap.mirror.controls import Question, show_deleted
from ldapmap.mirror.listing import ListingConnection

EVERY = Present(b"objectClass")

_DELETED_OBJECTS = "18E2EA80684F11D2B9AA00C04F79F805"
"""The well-known container of what was deleted (MS-ADTS 6.1.1.4)."""

_WHO = Question("", "base", EVERY, ("dsServiceName", "defaultNamingContext", "namingContexts"))
_HOW_FAR = Question("", "base", EVERY, ("highestCommittedUSN",))


class Controller(NamedTuple):
    """`service` is the DN of its settings object, `invocation` the id of its database, new after each restoration.

    `context` is the naming context that changes are looked for in.
    """

    service: str
    invocation: bytes
    context: str


async def introduce(connection: ListingConnection, context: str, seconds: float) -> Controller:
    """Who answers on this connection. `context` may be empty: the controller's default.

    Raises Misconfigured for a server that is no domain controller or has no such context, and Unavailable.
    """
    root = _found(await connection.first(_WHO, seconds))
    service, default = _one(root, b"dsservicename"), _one(root, b"defaultnamingcontext")
    if not service:
        raise Misconfigured(f"{connection} is no domain controller: it has no dsServiceName")
    contexts = {comparable(value.decode()): value.decode() for value in root.attributes.get(b"namingcontexts", ())}
    chosen = contexts.get(comparable(context or default))
    if chosen is None:
        raise Misconfigured(f"{connection} has no naming context {context or default!r}")
    settings = _found(await connection.first(Question(service, "base", EVERY, ("invocationId",)), seconds))
    invocation = b"".join(settings.attributes.get(b"invocationid", ()))
    if not invocation:
        raise Misconfigured(f"{connection} does not let us read invocationId of {service!r}")
    return Controller(service, invocation, chosen)


async def highest_usn(connection: ListingConnection, seconds: float) -> int:
    """Every change with a lower or this number is there to be read. Raises Misconfigured or Unavailable."""
    text = _one(_found(await connection.first(_HOW_FAR, seconds)), b"highestcommittedusn")
    if not text.isdecimal():
        raise Misconfigured(f"{connection} has no highestCommittedUSN")
    return int(text)


async def sees_deleted(connection: ListingConnection, context: str) -> bool:
    """Whether we may read the container of what was deleted; otherwise deletions pass unseen. Raises Unavailable."""
    where = f"<WKGUID={_DELETED_OBJECTS},{context}>"
    found: list[FoundEntry] = []
    try:
        await connection.ask(Question(where, "base", EVERY, ("objectGUID",)), found.append, [show_deleted()])
    except Misconfigured:  # no such object, for those who may not see it
        return False
    return any(entry.attributes.get(b"objectguid") for entry in found)


def comparable(dn: str) -> str:
    """A DN as DNs are told apart here: without regard to case and to blanks behind commas."""
    return ",".join(part.strip() for part in dn.casefold().split(","))


def within(dn: str, above: str) -> bool:
    """Whether an entry is `above` or below it."""
    return f",{comparable(dn)}".endswith(f",{comparable(above)}")


def _found(entry: FoundEntry | None) -> FoundEntry:
    if entry is None:
        raise Misconfigured("the server does not let us read its root DSE")
    return entry


def _one(entry: FoundEntry, name: bytes) -> str:
    values = entry.attributes.get(name, ())
    return values[0].decode("utf-8", "replace") if values else ""

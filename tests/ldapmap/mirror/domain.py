"""A domain controller in memory: entries, update sequence numbers, tombstones, and connections that search it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import cast

from ldapmap.client.ber import element, integer, octet_string, wrap
from ldapmap.client.filters import Filter, Group, ServerOnly
from ldapmap.client.messages import FoundEntry
from ldapmap.errors import Misconfigured, ServerFault
from ldapmap.mirror.controller import within
from ldapmap.mirror.controls import DIRSYNC, Controls, Question, show_deleted
from ldapmap.mirror.listing import ListingConnection

CONTEXT = "DC=example,DC=test"
PEOPLE = f"OU=people,{CONTEXT}"
DELETED = f"CN=Deleted Objects,{CONTEXT}"
SERVICE = f"CN=NTDS Settings,CN=DC1,CN=Configuration,{CONTEXT}"


class Thing:
    """An entry: its place is known by its parent, so whoever moves a unit moves all below it."""

    def __init__(self, name: str, parent: Thing | None, classes: Sequence[str], values: dict[str, str]) -> None:
        self.name, self.parent, self.classes = name, parent, classes
        self.values = values
        self.entry_id = uuid.uuid4().bytes
        self.usn = 0
        self.deleted = False

    @property
    def dn(self) -> str:
        return f"{self.name},{self.parent.dn}" if self.parent else self.name


class Domain:
    """What `change` is told about gets the next number. `hidden`: tombstones are not shown to us."""

    def __init__(self) -> None:
        self.usn = 100
        self.invocation = uuid.uuid4().bytes
        self.service = SERVICE
        self.hidden = False
        self.replication_allowed = True
        self.root = Thing(CONTEXT, None, ["domainDNS"], {})
        self.things = [self.root]
        self.people = self.add("OU=people", self.root, ["organizationalUnit"])
        self.container = self.add("CN=Deleted Objects", self.root, ["container"])
        self.asked: list[Question] = []
        self.page = 2
        self.between: Callable[[], None] = lambda: None
        """Called before every answer: what happens meanwhile."""
        self.broken: Exception | None = None

    def add(self, name: str, parent: Thing, classes: Sequence[str] = ("user",), **values: str) -> Thing:
        thing = Thing(name, parent, classes, values)
        self.things.append(thing)
        self.touch(thing)
        return thing

    def user(self, name: str, parent: Thing | None = None, **values: str) -> Thing:
        return self.add(f"CN={name}", parent or self.people, uid=name, **{"mailHost": "s1", **values})

    def set(self, thing: Thing, **values: str) -> None:
        thing.values.update(values)
        self.touch(thing)

    def move(self, thing: Thing, name: str, parent: Thing) -> None:
        thing.name, thing.parent = name, parent
        self.touch(thing)

    def delete(self, thing: Thing) -> None:
        thing.deleted = True
        thing.name, thing.parent = f"{thing.name}\\0ADEL:{thing.entry_id.hex()}", self.container
        thing.values = {}
        self.touch(thing)

    def touch(self, thing: Thing) -> None:
        self.usn += 1
        thing.usn = self.usn

    def connection(self) -> ListingConnection:
        return cast(ListingConnection, Searching(self))

    # --- what a search sees ---

    def answer(self, question: Question, deleted: bool) -> list[FoundEntry]:
        if question.base == "":
            return [self._root_dse()]
        if question.base == self.service:
            return [FoundEntry(1, self.service, {b"invocationid": [self.invocation]} if self.invocation else {})]
        if question.base.startswith("<WKGUID="):
            if self.hidden:
                return [FoundEntry(1, DELETED, {})]
            return [_entry(self.container, question)]
        if not any(thing.dn == question.base for thing in self._visible(False)):
            raise Misconfigured(f"search: noSuchObject (32): {question.base}")
        return [
            _entry(thing, question)
            for thing in self._visible(deleted)
            if _in_scope(thing, question) and _matches(question.condition, thing)
        ]

    def _visible(self, deleted: bool) -> Iterator[Thing]:
        return (each for each in self.things if not each.deleted or (deleted and not self.hidden))

    def _root_dse(self) -> FoundEntry:
        values = {
            b"dsservicename": self.service,
            b"defaultnamingcontext": CONTEXT,
            b"namingcontexts": CONTEXT,
            b"highestcommittedusn": str(self.usn),
        }
        return FoundEntry(1, "", {name: [value.encode()] for name, value in values.items() if value})


class Searching:
    """What a ListingConnection does, without one."""

    closed = False

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def __str__(self) -> str:
        return "ldap://dc1.example.test"

    async def ask(
        self, question: Question, take: Callable[[FoundEntry], None], controls: Sequence[bytes] = ()
    ) -> Controls:
        found, answered = self._answer(question, controls)
        for entry in found:
            take(entry)
        return answered

    async def first(self, question: Question, seconds: float) -> FoundEntry | None:
        found, _ = self._answer(question, ())
        return found[0] if found else None

    async def pages(self, question: Question, controls: Sequence[bytes] = ()) -> AsyncIterator[list[FoundEntry]]:
        """Like a server that finds out at first what there is, and reads it when it is asked for."""
        found, _ = self._answer(question, controls)
        for start in range(0, max(len(found), 1), self._domain.page):
            ids = {each.attributes[b"objectguid"][0] for each in found[start : start + self._domain.page]}
            now, _ = self._answer(question, controls) if start else (found, {})
            yield [each for each in now if each.attributes[b"objectguid"][0] in ids]

    def understood(self, read: Callable[[bytes], tuple[bool, bytes]], value: bytes) -> tuple[bool, bytes]:
        return read(value)

    def close(self, reason: str = "") -> None:
        self.closed = True

    def abort(self, reason: str) -> None:
        self.closed = True

    def _answer(self, question: Question, controls: Sequence[bytes]) -> tuple[list[FoundEntry], Controls]:
        domain = self._domain
        domain.asked.append(question)
        domain.between()
        if domain.broken is not None:
            raise domain.broken
        for control in controls:
            if DIRSYNC in control:
                return self._told(question, control)
        return domain.answer(question, show_deleted() in controls), {}

    def _told(self, question: Question, control: bytes) -> tuple[list[FoundEntry], Controls]:
        """DirSync, three entries at a time; the cookie is the number."""
        domain = self._domain
        if not domain.replication_allowed:
            raise Misconfigured("search: insufficientAccessRights (50)")
        since = _dirsync_cookie(control)
        changed = sorted((thing for thing in domain.things if thing.usn > since), key=lambda thing: thing.usn)
        told, more = changed[:3], len(changed) > 3
        upto = told[-1].usn if told else max(since, domain.usn)
        value = wrap(b"\x30", integer(int(more)) + integer(0) + octet_string(str(upto).encode()))
        return [_entry(thing, question) for thing in told], {DIRSYNC: value}


def _dirsync_cookie(control: bytes) -> int:
    _, start, end = element(control, 0, len(control))
    for _ in range(2):
        _, _, start = element(control, start, end)
    _, start, end = element(control, start, end)
    _, start, end = element(control, start, end)
    for _ in range(2):
        _, _, start = element(control, start, end)
    _, start, end = element(control, start, end)
    cookie = control[start:end]
    if not cookie.isdigit() and cookie:
        raise ServerFault("a foreign cookie")
    return int(cookie or b"0")


def _entry(thing: Thing, question: Question) -> FoundEntry:
    attributes = {
        b"objectguid": [thing.entry_id],
        b"objectclass": [name.encode() for name in thing.classes],
        **{name.lower().encode(): [value.encode()] for name, value in thing.values.items() if value},
    }
    return FoundEntry(1, thing.dn, attributes)


def _in_scope(thing: Thing, question: Question) -> bool:
    if question.scope == "one":
        return thing.parent is not None and thing.parent.dn == question.base
    return within(thing.dn, question.base)


def _matches(condition: Filter, thing: Thing) -> bool:
    if isinstance(condition, ServerOnly):
        return thing.usn >= int(condition.encoded.rpartition(b"uSNChanged")[2][2:])
    if isinstance(condition, Group):
        return (all if condition.every else any)(_matches(part, thing) for part in condition.parts)
    return condition.matches(
        {
            b"objectguid": [thing.entry_id],
            b"objectclass": [name.encode() for name in thing.classes],
            **{name.lower().encode(): [value.encode()] for name, value in thing.values.items()},
        }
    )

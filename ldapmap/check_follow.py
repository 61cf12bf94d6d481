"""The check of whether a mirror can follow a server: by the very search that the mirror will make.

That a server knows RFC 4533 (rootDSE) does not say that this database offers it, and a limit of the size is met only by
a search that meets it. So the search is made, and read until it ends or has gone beyond any limit that is usual.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal

from ldapmap.client.ber import BerError
from ldapmap.client.filters import Filter, parse_filter
from ldapmap.client.messages import FoundEntry, Response, Responses, Result, abandon_request
from ldapmap.domains import Domains
from ldapmap.mirror.syncrepl import sync_request
from ldapmap.settings import DirectorySettings

ENOUGH = 20_000
"""Entries after which no limit is expected any more; OpenLDAP's own is 500, Active Directory's 1000."""

_SHOW_DELETED, _DIRSYNC = "1.2.840.113556.1.4.417", "1.2.840.113556.1.4.841"
_FIRST_ID = 1_000_000_000  # ldap3 counts its messages from 1
_READ_SIZE = 65_536
_PATIENCE = 10  # times operation_timeout, for the entries of one base
_SUCCESS, _TIME_LIMIT, _SIZE_LIMIT, _ADMIN_LIMIT = 0, 3, 4, 11

Level = Literal["ok", "warning", "error"]


def check_sync(connection: Any, settings: DirectorySettings) -> Iterator[tuple[Level, str]]:
    """What a mirror with `follow.method` syncrepl would meet. `connection` (ldap3's) cannot be used any more after it.

    Raises OSError or BerError when the server does not answer or not in LDAP.
    """
    trial = _Trial(connection.socket, settings)
    condition = parse_filter(settings.filter)
    for base in Domains(settings).bases:
        yield trial.outcome(base, settings.scope, condition)
    if settings.shards.base:
        yield trial.outcome(settings.shards.base, "subtree", parse_filter(settings.shards.filter))


class _Trial:
    """One connection's searches for everything, one after the other, each abandoned when it has told enough."""

    def __init__(self, socket: Any, settings: DirectorySettings) -> None:
        self._socket = socket
        self._patience = settings.operation_timeout
        self._responses = Responses(settings.message_limit)
        self._id = _FIRST_ID

    def outcome(self, base: str, scope: Literal["one", "subtree"], condition: Filter) -> tuple[Level, str]:
        """What the search has come to."""
        self._id += 1
        self._socket.settimeout(self._patience)
        self._socket.sendall(sync_request(self._id, base, scope, condition, ["1.1"], b"", persist=False))
        count = 0
        for response in self._answers():
            if isinstance(response, Result):
                return _judged(base, response, count)
            count += isinstance(response, FoundEntry)
            if count >= ENOUGH:
                self._abandon()
                return "ok", f"base {base!r} can be followed: {count} entries read, no limit met"
        raise TimeoutError("the entries came too slowly")

    def _abandon(self) -> None:
        self._socket.sendall(abandon_request(self._id + 1, self._id))
        self._id += 1

    def _answers(self) -> Iterator[Response]:
        """The answers to the last search, until they have taken too long."""
        deadline = time.monotonic() + _PATIENCE * self._patience
        while time.monotonic() < deadline:
            data = self._socket.recv(_READ_SIZE)
            if not data:
                raise BerError("the server closed the connection")
            yield from (each for each in self._responses.feed(data) if each.message_id == self._id)


def _judged(base: str, result: Result, count: int) -> tuple[Level, str]:
    said = f"{result.code} {result.diagnostic}".strip()
    if result.code == _SUCCESS:
        return "ok", f"base {base!r} can be followed: {count} entries"
    if result.code in (_TIME_LIMIT, _SIZE_LIMIT, _ADMIN_LIMIT):
        remedy = "lift its limits for bind_dn (OpenLDAP: limits dn.exact=... size=unlimited time=unlimited)"
        return "error", f"of base {base!r} the server shows {count} entries and no more ({said}); {remedy}"
    remedy = "does it offer RFC 4533 (OpenLDAP: overlay syncprov)? Or set follow.method"
    return "error", f"base {base!r} cannot be followed ({said}); {remedy}"


def check_ad(method: Literal["usn", "dirsync"], root: dict[str, list[bytes]]) -> Iterator[tuple[Level, str]]:
    """What a mirror with the other methods would meet, by the server's rootDSE."""
    numbers, controls = root.get("highestCommittedUSN", []), root.get("supportedControl", [])
    if not numbers:
        yield "error", f'it has no highestCommittedUSN; follow.method = "{method}" is for Active Directory'
        return
    yield "ok", f"highestCommittedUSN is {numbers[0].decode('ascii', 'replace')}"
    if method == "usn" and _SHOW_DELETED.encode() not in controls:
        yield "error", f"it cannot show deleted entries ({_SHOW_DELETED}), so the mirror would keep users who are gone"
    if method == "dirsync" and _DIRSYNC.encode() not in controls:
        yield "error", f'it does not offer DirSync ({_DIRSYNC}); set follow.method = "usn"'

"""The check of one LDAP server, with `ldap3`."""

from __future__ import annotations

import contextlib
import math
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Literal

import ldap3
from ldap3.core.exceptions import LDAPException

from ldapmap.connection import Identity
from ldapmap.entries import EntryReader
from ldapmap.errors import DirectoryError
from ldapmap.findings import Finding
from ldapmap.settings import DirectorySettings

_SLOW_SEARCH = 0.25  # seconds; with an index it is a millisecond even among 500,000 entries
_NOBODY = "vestibule-check-no-such-user"
_TYPE_NAMES = re.compile(r"\bNAME\s+(?:'([^']+)'|\(([^)]*)\))")


class _ContextTls(ldap3.Tls):  # type: ignore[misc]  # ldap3 has no types
    """TLS with our context: ldap3's own ignores the system's policy and cannot verify addresses on newer Pythons."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(validate=context.verify_mode)
        self._context = context

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=connection.server.host)


class _Stop(Exception):
    """Nothing further can be found out about this server."""


class ServerCheck:
    """Checks one server, step by step; a step that fails ends it."""

    def __init__(
        self, url: str, settings: DirectorySettings, context: ssl.SSLContext | None, identity: Identity | None
    ) -> None:
        self._url = url
        self._settings = settings
        self._identity = identity
        self._findings: list[Finding] = []
        server = ldap3.Server(
            url,
            get_info=ldap3.NONE,
            connect_timeout=settings.connect_timeout,
            allowed_referral_hosts=[],
            tls=_ContextTls(context) if context is not None else None,
        )
        self._connection = ldap3.Connection(
            server,
            user=identity.dn.decode() if identity else None,
            password=identity.password.decode("utf-8", "replace") if identity else None,
            auto_referrals=False,
            check_names=False,
            receive_timeout=math.ceil(settings.operation_timeout),
        )

    def findings(self) -> list[Finding]:
        steps: tuple[Callable[[], None], ...] = (
            self._reach, self._identify, self._find_base, self._know_attributes, self._search_fast, self._sample,
        )  # fmt: skip
        try:
            for step in steps:
                step()
        except _Stop:
            pass
        except (LDAPException, OSError) as error:
            self._found("error", str(error) or type(error).__name__)
        finally:
            with contextlib.suppress(LDAPException, OSError):
                self._connection.unbind()
        return self._findings

    def _reach(self) -> None:
        self._connection.open()
        if not self._url.startswith("ldapi"):
            # ldap3 leaves Nagle's algorithm on: the first bind after a TLS handshake would wait for 40 ms
            self._connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._settings.starttls:
            self._connection.start_tls()
        secure = isinstance(self._connection.socket, ssl.SSLSocket)
        self._found("ok", "reached over TLS" if secure else "reached")

    def _identify(self) -> None:
        if self._identity is None:
            return
        if not self._connection.bind():
            self._found("error", f"bind_dn {self._settings.bind_dn!r} is refused: {self._result()}")
            raise _Stop
        self._found("ok", f"bound as {self._settings.bind_dn!r}")

    def _find_base(self) -> None:
        if not self._read(self._settings.base, ["1.1"]):
            self._found("error", f"base {self._settings.base!r} is not there or may not be read: {self._result()}")
            raise _Stop
        self._found("ok", f"base {self._settings.base!r} exists")

    def _know_attributes(self) -> None:
        types = self._attribute_types()
        if not types:
            self._found("warning", "the schema may not be read, so attribute names are not checked")
            return
        wanted = EntryReader(self._settings.attributes, lower_case=True).wanted
        for name in wanted:
            if name.split(";")[0].lower() not in types:
                self._found("error", f"the schema knows no attribute {name!r}")

    def _attribute_types(self) -> set[str]:
        found = self._read(self._settings.base, ["subschemaSubentry"])
        subentry = _first(found, "subschemaSubentry")
        found = self._read(subentry, ["attributeTypes"], "(objectClass=subschema)") if subentry else []
        return {name.lower() for text in _all(found, "attributeTypes") for name in _names(text)}

    def _search_fast(self) -> None:
        user = self._settings.attributes.user
        started = time.monotonic()
        self._search(f"({user}={_NOBODY})", [user])
        seconds = time.monotonic() - started
        if seconds > _SLOW_SEARCH:
            self._found("warning", f"searching for a {user} took {seconds:.1f} s: is there an equality index?")

    def _sample(self) -> None:
        reader = EntryReader(self._settings.attributes, lower_case=True)
        found = self._search(f"(&{self._settings.filter}({self._settings.attributes.user}=*))", list(reader.wanted))
        if not found:
            self._found("warning", f"no entry matches the filter: {self._result()}")
            return
        raw = {name.lower().encode(): values for name, values in found[0]["raw_attributes"].items()}
        try:
            entry = reader.read(found[0]["dn"], raw)
        except DirectoryError as error:
            self._found("warning", f"the first user found could not be served: {error.reason}")
        else:
            self._found("ok", f"a user found: {entry.dn!r}, shard {entry.shard!r}")

    def _read(self, dn: str, attributes: list[str], condition: str = "(objectClass=*)") -> list[Any]:
        self._connection.search(dn, condition, ldap3.BASE, dereference_aliases=ldap3.DEREF_NEVER, attributes=attributes)
        return _entries(self._connection)

    def _search(self, condition: str, attributes: list[str]) -> list[Any]:
        scope = ldap3.SUBTREE if self._settings.scope == "subtree" else ldap3.LEVEL
        self._connection.search(
            self._settings.base,
            condition,
            scope,
            dereference_aliases=ldap3.DEREF_NEVER,
            attributes=attributes,
            size_limit=1,
        )
        return _entries(self._connection)

    def _result(self) -> str:
        result = self._connection.result
        return f"{result['description']} ({result['result']}) {result['message']}".strip()

    def _found(self, level: Literal["ok", "warning", "error"], text: str) -> None:
        self._findings.append(Finding(level, self._url, text))


def _entries(connection: Any) -> list[Any]:
    return [each for each in connection.response or [] if each["type"] == "searchResEntry"]


def _all(found: list[Any], attribute: str) -> list[str]:
    return [value.decode("utf-8", "replace") for entry in found for value in entry["raw_attributes"].get(attribute, ())]


def _first(found: list[Any], attribute: str) -> str:
    return next(iter(_all(found, attribute)), "")


def _names(attribute_type: str) -> list[str]:
    """The names in an attribute type's definition (RFC 4512 section 4.1.2)."""
    match = _TYPE_NAMES.search(attribute_type)
    if match is None:
        return []
    return [match[1]] if match[1] else re.findall(r"'([^']+)'", match[2])

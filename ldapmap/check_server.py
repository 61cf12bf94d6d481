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

from ldapmap.check_follow import check_ad, check_sync
from ldapmap.client.ber import BerError
from ldapmap.client.connection import Identity
from ldapmap.domains import Domains
from ldapmap.entries import EntryReader
from ldapmap.errors import DirectoryError
from ldapmap.findings import Finding
from ldapmap.settings import DirectorySettings

_SLOW_SEARCH = 0.25  # seconds; with an index it is a millisecond even among 500,000 entries
_NOBODY = "vestibule-check-no-such-user"
_TYPE_NAMES = re.compile(r"\bNAME\s+(?:'([^']+)'|\(([^)]*)\))")
_TYPE_NUMBER = re.compile(r"\(\s*([0-9.]+)")


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
    """Checks one server, step by step; a step that fails ends it. `followed`: a mirror would follow this server."""

    def __init__(
        self,
        url: str,
        settings: DirectorySettings,
        context: ssl.SSLContext | None,
        identity: Identity | None,
        *,
        followed: bool = False,
    ) -> None:
        self._url = url
        self._settings = settings
        self._identity = identity
        self._followed = followed
        self._reader = EntryReader(settings)
        self._bases = Domains(settings).bases
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
            self._reach, self._identify, self._find_bases, self._know_attributes, self._search_fast, self._sample,
            self._restrict, self._follow,
        )  # fmt: skip
        try:
            for step in steps:
                step()
        except _Stop:
            pass
        except (LDAPException, OSError, BerError) as error:
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

    def _find_bases(self) -> None:
        shards = self._settings.shards.base
        missing = 0
        for base in (*self._bases, *filter(None, [shards])):
            if self._read(base, ["1.1"]):
                self._found("ok", f"base {base!r} exists")
            else:
                self._found("error", f"base {base!r} is not there or may not be read: {self._result()}")
                missing += 1
        if missing:
            raise _Stop

    def _know_attributes(self) -> None:
        types = self._attribute_types()
        if not types:
            self._found("warning", "the schema may not be read, so attribute names are not checked")
            return
        shards = self._settings.shards
        for name in (*self._reader.wanted_by_mirror, *((shards.name, shards.backends) if shards.base else ())):
            own = name.partition(";")[0]
            known = types.get(own.lower())
            if known is None:
                self._found("error", f"the schema knows no attribute {name!r}")
            elif known.lower() != own.lower():
                self._found("error", f"the server calls {name!r} {known!r} in its answers; write that instead")

    def _attribute_types(self) -> dict[str, str]:
        """The first name of every attribute by each of its names and its number, in lower case."""
        found = self._read(self._settings.base, ["subschemaSubentry"])
        subentry = _first(found, "subschemaSubentry")
        found = self._read(subentry, ["attributeTypes"], "(objectClass=subschema)") if subentry else []
        known: dict[str, str] = {}
        for text in _all(found, "attributeTypes"):
            names = _names(text)
            number = _TYPE_NUMBER.match(text)
            for name in (*names, *([number[1]] if number else ())):
                known[name.lower()] = names[0] if names else name
        return known

    def _search_fast(self) -> None:
        for base in self._bases:
            for name in (self._settings.attributes.user, *self._settings.attributes.aliases):
                started = time.monotonic()
                self._search(base, f"({name}={_NOBODY})", [name])
                seconds = time.monotonic() - started
                if seconds > _SLOW_SEARCH:
                    self._found("warning", f"searching for a {name} took {seconds:.1f} s: is there an equality index?")

    def _sample(self) -> None:
        for base in self._bases:
            self._sample_below(base)

    def _sample_below(self, base: str) -> None:
        condition = f"(&{self._settings.filter}({self._settings.attributes.user}=*))"
        found = self._search(base, condition, list(self._reader.wanted))
        if not found:
            self._found("warning", f"no entry below {base!r} matches the filter: {self._result()}")
            return
        raw = {name.lower().encode(): values for name, values in found[0]["raw_attributes"].items()}
        try:
            entry = self._reader.read(found[0]["dn"], raw)
        except DirectoryError as error:
            self._found("warning", f"the first user found could not be served: {error.reason}")
        else:
            self._found("ok", f"a user found: {entry.dn!r}, shard {entry.shard!r}")

    def _restrict(self) -> None:
        """Restrictions by an attribute that nobody seems to have restrict nobody, or everybody."""
        rules = (rule for rule in self._settings.rule if rule.not_values)
        effects = {rule.attribute: "the rule over it disables nobody" for rule in rules}
        if self._settings.attributes.protocols:
            effects[self._settings.attributes.protocols] = "nobody may use any protocol"
        for name, effect in effects.items():
            condition = f"(&{self._settings.filter}({name}=*))"
            if not any(self._search(base, condition, ["1.1"]) for base in self._bases):
                self._found("warning", f"no user has a value of {name} that we may read, so {effect}")

    def _follow(self) -> None:
        """Comes last: the search for everything is not read to its end."""
        method = self._settings.follow.method
        if not self._followed:
            return
        if method == "syncrepl":
            outcomes = check_sync(self._connection, self._settings)
        else:
            outcomes = check_ad(method, self._root())
        for level, text in outcomes:
            self._found(level, text)

    def _root(self) -> dict[str, list[bytes]]:
        found = self._read("", ["highestCommittedUSN", "supportedControl"])
        return dict(found[0]["raw_attributes"]) if found else {}

    def _read(self, dn: str, attributes: list[str], condition: str = "(objectClass=*)") -> list[Any]:
        self._connection.search(dn, condition, ldap3.BASE, dereference_aliases=ldap3.DEREF_NEVER, attributes=attributes)
        return _entries(self._connection)

    def _search(self, base: str, condition: str, attributes: list[str]) -> list[Any]:
        scope = ldap3.SUBTREE if self._settings.scope == "subtree" else ldap3.LEVEL
        self._connection.search(
            base,
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

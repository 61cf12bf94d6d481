"""Settings of the directory: which servers, which entries, which attributes, and how typed names become search keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ldapmap.address import parse_address
from ldapmap.filters import FilterError, parse_filter

_ATTRIBUTE = re.compile(r"([A-Za-z][A-Za-z0-9-]*|\d+(\.\d+)+)(;[A-Za-z0-9-]+)*")

Fault = tuple[str, str]
"""A key relative to its settings class, and what is wrong with it and how to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """`[directory.attributes]`: which attribute of an entry says what."""

    user: str = field(
        default="uid",
        metadata={
            "doc": "Searched for the typed name; its value is the user's one name in stickiness, limits and logs, "
            "so every user should have one value of it."
        },
    )
    shard: str = field(
        default="mailHost",
        metadata={"doc": "Names the shard that holds the user's mail, or one of the shard's backends."},
    )
    preferred: str = field(
        default="",
        metadata={
            "doc": "Names the backend the user should be on while it is usable; empty: users have no preference."
        },
    )
    login: str = field(
        default="",
        metadata={"doc": "Holds the name to log in with at the backend; empty: the user's own name."},
    )

    def faults(self) -> Iterator[Fault]:
        for key in ("user", "shard"):
            if not getattr(self, key):
                yield key, "is empty; name the attribute"
        for key in ("user", "shard", "preferred", "login"):
            value = getattr(self, key)
            if value and not _ATTRIBUTE.fullmatch(value):
                yield key, f"{value!r} is not an attribute name; use a name such as mailHost or a dotted number"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRules:
    """`[directory.names]`: how a typed name becomes the one that is searched for."""

    lower_case: bool = field(
        default=True,
        metadata={"doc": "Lower-case names, so that ALICE and alice are one user everywhere."},
    )
    domain: Literal["keep", "strip", "add"] = field(
        default="keep",
        metadata={
            "doc": "What to do with @domain: keep it, strip it from names that have one, or add default_domain to "
            "names that have none."
        },
    )
    default_domain: str = field(
        default="",
        metadata={"doc": 'The domain that domain = "add" appends to a name typed without one.'},
    )
    domains: tuple[str, ...] = field(
        default=(),
        metadata={"doc": "Domains whose users may log in; a name with another domain is refused. Empty: every domain."},
    )
    detail_separator: str = field(
        default="+",
        metadata={
            "doc": "A name is cut at the first of these before the domain (alice+lists is alice); empty: never cut."
        },
    )
    max_length: int = field(
        default=255,
        metadata={"doc": "Longest typed name that is looked up at all.", "unit": "bytes", "min": 1, "max": 1024},
    )

    def faults(self) -> Iterator[Fault]:
        if self.domain == "add" and not self.default_domain:
            yield "default_domain", 'is empty, but domain = "add" appends it; name the domain'
        if self.default_domain and self.domain != "add":
            yield "default_domain", f'has no effect with domain = "{self.domain}"; remove it or set domain = "add"'
        if self.default_domain and self.domains and self.default_domain.lower() not in _lowered(self.domains):
            yield "domains", "does not contain default_domain, so nobody could log in; add it"
        if len(self.detail_separator) > 1 or self.detail_separator == "@":
            yield "detail_separator", "must be one character other than @, or empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings:
    """`[directory]`: who the users are and where their mail lives."""

    kind: Literal["ldap", "ldif"] = field(
        metadata={"doc": "ldap: OpenLDAP, Active Directory and their kin. ldif: a file, for small sites and trials."}
    )
    servers: tuple[str, ...] = field(
        default=(),
        metadata={"doc": "LDAP servers as URLs, the nearest first; the others are used when it fails."},
    )
    file: Path | None = field(
        default=None,
        metadata={"doc": 'The LDIF file with the users (kind = "ldif").'},
    )
    base: str = field(
        default="",
        metadata={"doc": "The entry below which users are searched."},
    )
    scope: Literal["subtree", "one"] = field(
        default="subtree",
        metadata={"doc": "Search the whole tree below base, or only the entries directly below it."},
    )
    filter: str = field(
        default="(objectClass=*)",
        metadata={"doc": "Only entries that match this filter are users, for example (accountStatus=active)."},
    )
    bind_dn: str = field(
        default="",
        metadata={"doc": "The identity that searches; empty: search anonymously. It needs to read no password."},
    )
    bind_password_file: Path | None = field(
        default=None,
        metadata={"doc": "A file that holds the password of bind_dn; one line break at its end is ignored."},
    )
    starttls: bool = field(
        default=False,
        metadata={"doc": "Ask ldap:// servers for StartTLS and use them only with it."},
    )
    allow_cleartext: bool = field(
        default=False,
        metadata={
            "doc": "Let passwords cross the network to ldap:// servers without TLS: only on a network of its own."
        },
    )
    tls_verify: bool = field(
        default=True,
        metadata={"doc": "Verify the servers' certificates and names; without it anybody on the way reads passwords."},
    )
    ca_file: Path | None = field(
        default=None,
        metadata={"doc": "Certificates that may vouch for the servers; empty: those the system trusts."},
    )
    bind_connections: int = field(
        default=8,
        metadata={
            "doc": "Connections kept to each server for checking passwords, per worker; each checks one at a time. "
            "More than 16 gained nothing when measured.",
            "min": 1,
            "max": 64,
        },
    )
    search_outstanding: int = field(
        default=256,
        metadata={
            "doc": "Searches in progress on one connection; above 1000 OpenLDAP closes it (conn_max_pending_auth; for "
            "anonymous searches conn_max_pending, 100).",
            "min": 1,
            "max": 1000,
        },
    )
    queue_limit: int = field(
        default=1000,
        metadata={
            "doc": "Logins that may wait for a free connection, per worker, server and kind of connection; more are "
            "told to come back later at once.",
            "min": 0,
            "max": 100_000,
        },
    )
    connect_timeout: float = field(
        default=3.0,
        metadata={
            "doc": "Longest time until a new connection is usable: connect, TLS and the bind of bind_dn together.",
            "unit": "s",
            "min": 0.01,
            "max": 60.0,
        },
    )
    operation_timeout: float = field(
        default=5.0,
        metadata={
            "doc": "Longest wait for the answer to a search or a password check, and for a free connection before it.",
            "unit": "s",
            "min": 0.01,
            "max": 60.0,
        },
    )
    server_retry: float = field(
        default=5.0,
        metadata={
            "doc": "Longest pause before a server that failed is tried again in the background; the first is a tenth.",
            "unit": "s",
            "min": 0.01,
            "max": 300.0,
        },
    )
    message_limit: int = field(
        default=1_048_576,
        metadata={
            "doc": "Largest single answer accepted from a server; a larger one closes the connection.",
            "unit": "bytes",
            "min": 4096,
            "max": 16_777_216,
        },
    )
    attributes: Attributes = field(
        default=Attributes(),
        metadata={"doc": "Which attribute says what."},
    )
    names: NameRules = field(
        default=NameRules(),
        metadata={"doc": "How a typed name becomes the one that is searched for."},
    )

    def faults(self) -> Iterator[Fault]:
        yield from self._ldap_faults() if self.kind == "ldap" else self._ldif_faults()
        try:
            parse_filter(self.filter)
        except FilterError as error:
            yield "filter", str(error)

    def _ldif_faults(self) -> Iterator[Fault]:
        if self.file is None:
            yield "file", 'is missing; kind = "ldif" reads the users from it'
        if self.servers:
            yield "servers", 'has no effect with kind = "ldif"; remove it or set kind = "ldap"'

    def _ldap_faults(self) -> Iterator[Fault]:
        if self.file is not None:
            yield "file", 'has no effect with kind = "ldap"; remove it or set kind = "ldif"'
        if not self.base:
            yield "base", "is empty; name the entry that holds the users, for example ou=people,dc=example,dc=org"
        if bool(self.bind_dn) != (self.bind_password_file is not None):
            yield "bind_password_file", "and bind_dn belong together: set both, or neither to search anonymously"
        if self.ca_file is not None and not self.tls_verify:
            yield "ca_file", "has no effect with tls_verify = false; remove one of them"
        yield from self._server_faults()

    def _server_faults(self) -> Iterator[Fault]:
        if not self.servers:
            yield "servers", 'is empty; name at least one server, for example "ldaps://ldap.example"'
        for number, url in enumerate(self.servers):
            try:
                address = parse_address(url)
            except ValueError as error:
                yield f"servers[{number}]", f"{url!r}: {error}"
                continue
            if self.starttls and address.scheme != "ldap":
                yield f"servers[{number}]", f"{url!r}: starttls works only with ldap:// servers"
            if address.is_in_clear and not self.starttls and not self.allow_cleartext:
                remedy = "use ldaps://, set starttls = true, or accept it with allow_cleartext = true"
                yield f"servers[{number}]", f"{url!r}: passwords would cross the network in clear; {remedy}"


def _lowered(names: tuple[str, ...]) -> list[str]:
    return [name.lower() for name in names]

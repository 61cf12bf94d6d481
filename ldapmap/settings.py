"""Settings of the directory: which servers, which entries, which attributes, and how typed names become search keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ldapmap.client.address import Address
from ldapmap.sections import (
    Attributes,
    AuthMode,
    CacheSettings,
    DomainSettings,
    Fault,
    FollowSettings,
    NameRules,
    ProtocolValues,
    RememberSettings,
    RuleSettings,
    ServerSettings,
    ShardEntrySettings,
    doc,
    filter_faults,
    lowered,
    read_address,
    seconds,
)

_MOST_BASES = 200
"""The mirror marks what it keeps with one byte for the base."""

__all__ = [
    "Attributes",
    "AuthMode",
    "CacheSettings",
    "DirectorySettings",
    "DomainSettings",
    "Fault",
    "FollowSettings",
    "NameRules",
    "ProtocolValues",
    "RememberSettings",
    "RuleSettings",
    "ServerSettings",
    "ShardEntrySettings",
]


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
    server: tuple[ServerSettings, ...] = field(
        default=(),
        metadata=doc("The same with priorities and weights, instead of servers."),
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
        default=100_000,
        metadata={
            "doc": "Logins that may wait for their turn, per worker, server and kind of connection; more are told to "
            "come back later at once. It is for memory; what is bearable is said by queue_time.",
            "min": 0,
            "max": 100_000,
        },
    )
    queue_time: float = field(
        default=20.0,
        metadata=seconds(
            "Longest wait for a free connection while logins come faster than the server answers; it should be "
            "shorter than timeouts.login_budget.",
            0.01,
            300.0,
        ),
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
            "doc": "Longest wait for the answer to a search or a password check, once it has been sent.",
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
    auth: AuthMode = field(
        default="bind",
        metadata=doc(
            "bind: the password is checked here, by a bind as the user. passthrough: it is sent to the user's backend, "
            "which alone judges it."
        ),
    )
    mirror: bool = field(
        default=False,
        metadata=doc(
            "Keep a copy of all users' routes on this machine that follows the directory: logins search nothing, a "
            "change is known at once, and routes survive the loss of every server."
        ),
    )
    attributes: Attributes = field(
        default=Attributes(),
        metadata={"doc": "Which attribute says what."},
    )
    names: NameRules = field(
        default=NameRules(),
        metadata={"doc": "How a typed name becomes the one that is searched for."},
    )
    domain: tuple[DomainSettings, ...] = field(
        default=(),
        metadata=doc("Domains whose users live below another base, or whose passwords are judged elsewhere."),
    )
    rule: tuple[RuleSettings, ...] = field(
        default=(),
        metadata=doc("What makes an account disabled or its password expired, beside what the servers say to a bind."),
    )
    protocols: ProtocolValues = field(
        default=ProtocolValues(), metadata=doc("How the values of attributes.protocols call the protocols.")
    )
    follow: FollowSettings = field(default=FollowSettings(), metadata=doc("How the mirror follows the directory."))
    cache: CacheSettings = field(
        default=CacheSettings(), metadata=doc("What a worker keeps of the answers to its searches.")
    )
    remember: RememberSettings = field(
        default=RememberSettings(),
        metadata=doc("Passwords that may be verified while no directory server answers."),
    )
    shards: ShardEntrySettings = field(
        default=ShardEntrySettings(),
        metadata=doc("Entries that say which backends a shard has, for the mirror to follow as well."),
    )

    @property
    def ordered_servers(self) -> tuple[ServerSettings, ...]:
        """The servers with priorities and weights, however they are written."""
        if self.server:
            return self.server
        return tuple(ServerSettings(url=url, priority=place) for place, url in enumerate(self.servers, 1))

    def faults(self) -> Iterator[Fault]:
        yield from self._ldap_faults() if self.kind == "ldap" else self._ldif_faults()
        yield from filter_faults("filter", self.filter)
        yield from self._domain_faults()

    def _ldif_faults(self) -> Iterator[Fault]:
        if self.file is None:
            yield "file", 'is missing; kind = "ldif" reads the users from it'
        useless = {
            "servers": self.servers,
            "server": self.server,
            "mirror": self.mirror,
            "remember.enabled": self.remember.enabled,
            "shards.base": self.shards.base,
        }
        for key, given in useless.items():
            if given:
                yield key, 'has no effect with kind = "ldif"; remove it or set kind = "ldap"'

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
        yield from self._mirror_faults()

    def _server_faults(self) -> Iterator[Fault]:
        if self.servers and self.server:
            yield "server", "and servers say the same in two ways; keep one of them"
        if not self.servers and not self.server:
            yield "servers", 'is empty; name at least one server, for example "ldaps://ldap.example"'
        named = [(f"servers[{number}]", url) for number, url in enumerate(self.servers)]
        named += [(f"server[{number}].url", one.url) for number, one in enumerate(self.server)]
        named += [(f"follow.servers[{number}]", url) for number, url in enumerate(self.follow.servers)]
        for key, url in named:
            address = read_address(url)
            if isinstance(address, Address):
                yield from self._address_faults(key, url, address)
            elif key.startswith("servers"):
                yield key, address  # the other tables tell it themselves

    def _address_faults(self, key: str, url: str, address: Address) -> Iterator[Fault]:
        if self.starttls and address.scheme != "ldap":
            yield key, f"{url!r}: starttls works only with ldap:// servers"
        if address.is_in_clear and not self.starttls and not self.allow_cleartext:
            remedy = "use ldaps://, set starttls = true, or accept it with allow_cleartext = true"
            yield key, f"{url!r}: passwords would cross the network in clear; {remedy}"

    def _mirror_faults(self) -> Iterator[Fault]:
        if self.remember.enabled and not self.mirror:
            yield "remember.enabled", "needs mirror = true, which hears of changed passwords; set it, or remove this"
        if self.shards.base and not self.mirror:
            yield "shards.base", "needs mirror = true, which follows these entries; set it, or remove this"

    def _domain_faults(self) -> Iterator[Fault]:
        """A domain is in one table only, and still there when the table is looked for."""
        seen: set[str] = set()
        for number, domain in enumerate(self.domain):
            key = f"domain[{number}]"
            for name in lowered(domain.names):
                if name in seen:
                    yield f"{key}.names", f"{name!r} is in another [[directory.domain]] already; keep one of them"
                if self.names.domains and name not in lowered(self.names.domains):
                    yield f"{key}.names", f"{name!r} is not in names.domains, so nobody could log in; add it there"
                seen.add(name)
        yield from self._base_faults()
        if self.domain and self.names.domain == "strip":
            remedy = 'set names.domain = "keep", and local_part = true in the tables'
            yield "domain", f'has no effect with names.domain = "strip"; {remedy}'

    def _base_faults(self) -> Iterator[Fault]:
        """Where only the part before the @ is searched for, it is searched below a base of its own."""
        bases = [self.base, *(domain.base or self.base for domain in self.domain)]
        for number, domain in enumerate(self.domain):
            if domain.local_part and domain.base and bases.count(domain.base) > 1:
                remedy = "give it one of its own, or put the domains into one table"
                yield f"domain[{number}].base", f"other names are searched below {domain.base!r} as well; {remedy}"
        if len(set(bases)) > _MOST_BASES:
            yield "domain", f"more than {_MOST_BASES} different bases; put them below one base that all names share"

"""The tables of `[directory]` in the configuration file, each a frozen class with the rules over its own keys."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ldapmap.client.address import Address, parse_address
from ldapmap.client.filters import FilterError, parse_filter

_ATTRIBUTE = re.compile(r"([A-Za-z][A-Za-z0-9-]*|\d+(\.\d+)+)(;[A-Za-z0-9-]+)*")
_ATTRIBUTE_KEYS = (
    "user", "shard", "preferred", "login", "protocols", "networks", "disabled_reason", "password_changed",
)  # fmt: skip

Fault = tuple[str, str]
"""A key relative to its settings class, and what is wrong with it and how to mend it."""

AuthMode = Literal["bind", "passthrough"]
"""Who judges the password: a bind here before the backend is chosen, or the backend alone."""


def doc(text: str, **more: Any) -> dict[str, Any]:
    return {"doc": text, **more}


def seconds(text: str, least: float, most: float) -> dict[str, Any]:
    return {"doc": text, "unit": "s", "min": least, "max": most}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """`[directory.attributes]`: which attribute of an entry says what."""

    user: str = field(
        default="uid",
        metadata=doc(
            "Searched for the typed name; its value is the user's one name in stickiness, limits and logs, "
            "so every user should have one value of it."
        ),
    )
    aliases: tuple[str, ...] = field(
        default=(),
        metadata=doc("Further attributes that are searched for the typed name, for example mail."),
    )
    shard: str = field(
        default="mailHost",
        metadata=doc("Names the shard that holds the user's mail, or one of the shard's backends."),
    )
    shard_form: Literal["name", "address"] = field(
        default="name",
        metadata=doc(
            "name: the value is a name or host. address: it is [user@]host[:port], as in Perdition's maps; the user is "
            "the name at the backend, the port is left to the shard's own settings."
        ),
    )
    preferred: str = field(
        default="",
        metadata=doc("Names the backend the user should be on while it is usable; empty: users have no preference."),
    )
    login: str = field(
        default="",
        metadata=doc("Holds the name to log in with at the backend; empty: the user's own name."),
    )
    protocols: str = field(
        default="",
        metadata=doc(
            "Its values are the services the user may use, as [directory.protocols] spells them; without a value "
            "there are none. Empty: every user may use every protocol."
        ),
    )
    networks: str = field(
        default="",
        metadata=doc(
            "Its values are the networks the user may come from; without a value: all. Empty: all for everybody."
        ),
    )
    disabled_reason: str = field(
        default="",
        metadata=doc("Says in the operator's words why a disabled account is disabled; for the log."),
    )
    password_changed: str = field(
        default="",
        metadata=doc(
            "Changes with every new password, for example pwdChangedTime or pwdLastSet: what is remembered of the old "
            "one is dropped then. Empty: it is dropped at any change to the entry."
        ),
    )

    def faults(self) -> Iterator[Fault]:
        for key in ("user", "shard"):
            if not getattr(self, key):
                yield key, "is empty; name the attribute"
        for key in _ATTRIBUTE_KEYS:
            yield from _attribute_faults(key, getattr(self, key))
        for number, name in enumerate(self.aliases):
            yield from _attribute_faults(f"aliases[{number}]", name or "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRules:
    """`[directory.names]`: how a typed name becomes the one that is searched for."""

    lower_case: bool = field(
        default=True,
        metadata=doc("Lower-case names, so that ALICE and alice are one user everywhere."),
    )
    domain: Literal["keep", "strip", "add"] = field(
        default="keep",
        metadata=doc(
            "What to do with @domain: keep it, strip it from names that have one, or add default_domain to "
            "names that have none."
        ),
    )
    default_domain: str = field(
        default="",
        metadata=doc('The domain that domain = "add" appends to a name typed without one.'),
    )
    domains: tuple[str, ...] = field(
        default=(),
        metadata=doc("Domains whose users may log in; a name with another domain is refused. Empty: every domain."),
    )
    nt_domains: tuple[str, ...] = field(
        default=(),
        metadata=doc(
            "Windows domains that may stand before a name: with EXAMPLE here, EXAMPLE\\alice is alice. A name with "
            "another one is refused; empty: a backslash has no meaning."
        ),
    )
    detail_separator: str = field(
        default="+",
        metadata=doc("A name is cut at the first of these before the domain (alice+lists is alice); empty: never cut."),
    )
    max_length: int = field(
        default=255,
        metadata=doc("Longest typed name that is looked up at all.", unit="bytes", min=1, max=1024),
    )

    def faults(self) -> Iterator[Fault]:
        if self.domain == "add" and not self.default_domain:
            yield "default_domain", 'is empty, but domain = "add" appends it; name the domain'
        if self.default_domain and self.domain != "add":
            yield "default_domain", f'has no effect with domain = "{self.domain}"; remove it or set domain = "add"'
        if self.default_domain and self.domains and lowered((self.default_domain,))[0] not in lowered(self.domains):
            yield "domains", "does not contain default_domain, so nobody could log in; add it"
        yield from domain_faults("domains", self.domains)
        yield from domain_faults("default_domain", (self.default_domain,) if self.default_domain else ())
        if len(self.detail_separator) > 1 or self.detail_separator == "@":
            yield "detail_separator", "must be one character other than @, or empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """`[[directory.server]]`: one server, where order alone does not say enough."""

    url: str = field(metadata=doc("ldaps://host, ldap://host or ldapi://%2Fpath, with :port if it is not the usual."))
    priority: int = field(
        default=1, metadata=doc("Servers with the lowest number that are up are asked.", min=1, max=1000)
    )
    weight: int = field(
        default=1, metadata=doc("Share of the questions among servers of the same priority.", min=1, max=1000)
    )

    def faults(self) -> Iterator[Fault]:
        address = read_address(self.url)
        if isinstance(address, str):
            yield "url", address


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSettings:
    """`[[directory.domain]]`: names of some domains whose users live elsewhere or are judged otherwise."""

    names: tuple[str, ...] = field(metadata=doc("The domains, as they stand behind the @.", at_least=1))
    base: str = field(
        default="", metadata=doc("The entry below which the users of these domains are searched; empty: base.")
    )
    auth: Literal["", "bind", "passthrough"] = field(
        default="", metadata=doc("Who judges the password of these users; empty: auth of [directory].")
    )
    local_part: bool = field(
        default=False,
        metadata=doc(
            "Search for the part before the @ alone; the user's name is what is found with @ and the first of these "
            "domains behind it. Needs a base that no other names are searched below, or a user would have two names."
        ),
    )

    def faults(self) -> Iterator[Fault]:
        yield from domain_faults("names", self.names)
        if not self.base and not self.auth and not self.local_part:
            yield "base", "auth and local_part are all empty; without one of them the table has no effect"
        if self.local_part and not self.base:
            yield "local_part", "needs a base of its own; set base, or remove this"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """`[[directory.rule]]`: what the value of an attribute says about an account. Exactly one condition is given."""

    attribute: str = field(metadata=doc("The attribute the rule looks at. Entries without it do not meet the rule."))
    values: tuple[str, ...] = field(default=(), metadata=doc("Condition: it has one of these values, in any case."))
    not_values: tuple[str, ...] = field(default=(), metadata=doc("Condition: it has a value that is none of these."))
    bits: int = field(
        default=0,
        metadata=doc("Condition: one of these bits of its number is set (2 of userAccountControl).", min=0, max=2**31),
    )
    until: Literal["", "generalized", "days", "seconds", "filetime"] = field(
        default="",
        metadata=doc(
            "Condition: the time it holds is over; written as 20261231235959Z, in days or seconds since 1970 (below 0: "
            "never), or as Active Directory does (0 and its largest value: never)."
        ),
    )
    means: Literal["disabled", "expired"] = field(
        default="disabled",
        metadata=doc("disabled: the account is closed. expired: its password has to be changed first."),
    )

    def faults(self) -> Iterator[Fault]:
        yield from _attribute_faults("attribute", self.attribute or "-")
        given = [bool(self.values), bool(self.not_values), bool(self.bits), bool(self.until)]
        if given.count(True) != 1:
            yield "values", "not_values, bits and until: exactly one of the four makes a rule"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolValues:
    """`[directory.protocols]`: how the values of `attributes.protocols` call the protocols, in any case."""

    imap: tuple[str, ...] = field(default=("imap", "imaps", "imap4"), metadata=doc("Values that allow IMAP."))
    pop3: tuple[str, ...] = field(default=("pop3", "pop3s", "pop"), metadata=doc("Values that allow POP3."))
    managesieve: tuple[str, ...] = field(
        default=("managesieve", "sieve"), metadata=doc("Values that allow ManageSieve.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowSettings:
    """`[directory.follow]`: how the mirror follows the directory (`mirror = true`)."""

    method: Literal["syncrepl", "usn", "dirsync"] = field(
        default="syncrepl",
        metadata=doc(
            "syncrepl: OpenLDAP and others with RFC 4533. usn: Active Directory with ordinary rights. dirsync: Active "
            'Directory for an identity with the right "Replicating Directory Changes".'
        ),
    )
    servers: tuple[str, ...] = field(
        default=(), metadata=doc("Servers to follow, the first first; empty: those of [directory] in their order.")
    )
    path: Path | None = field(
        default=None,
        metadata=doc(
            "Directory of the mirror's files; empty: mirror below node.run_dir. On a disk it is still there after the "
            "machine has started again.",
            exists=False,
        ),
    )
    poll: float = field(
        default=0.5, metadata=seconds("Time between two looks for changes (usn and dirsync).", 0.05, 60.0)
    )
    heartbeat: float = field(
        default=10.0, metadata=seconds("Time between two questions that find out whether the server lives.", 0.1, 600.0)
    )
    purge_limit: float = field(
        default=2.0,
        metadata=doc(
            "Most users that may vanish at once when server and mirror are compared; of more an operator has to say "
            "that it is meant (vestibule directory mirror rebuild).",
            unit="percent",
            min=0.0,
            max=100.0,
        ),
    )
    trust: float = field(
        default=60.0,
        metadata=seconds(
            "How long after its server was last heard the mirror is taken at its word; then a login searches first and "
            "takes the mirror's word only when no server answers.",
            1.0,
            86400.0,
        ),
    )
    retry: float = field(
        default=30.0, metadata=seconds("Longest pause between two attempts to find a server to follow.", 0.1, 600.0)
    )
    deleted_base: str = field(
        default="",
        metadata=doc("The naming context in which changes are looked for (usn, dirsync); empty: the server's default."),
    )

    def faults(self) -> Iterator[Fault]:
        for number, url in enumerate(self.servers):
            address = read_address(url)
            if isinstance(address, str):
                yield f"servers[{number}]", address
        if self.method == "syncrepl" and self.trust <= self.heartbeat:
            yield "trust", "is not longer than heartbeat, so the mirror would never be trusted; make it longer"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """`[directory.cache]`: what a worker keeps of the answers to its searches."""

    age: float = field(
        default=0.0,
        metadata=seconds(
            "How long a user found is not searched for again. A user who is moved may meanwhile be sent to the old "
            "place, so it is 0 unless the servers need relief.",
            0.0,
            3600.0,
        ),
    )
    negative_age: float = field(
        default=5.0, metadata=seconds("How long a name that nobody has is not searched for again.", 0.0, 3600.0)
    )
    size: int = field(
        default=10_000,
        metadata=doc("Users kept by one worker, and as many names that nobody has.", min=1, max=1_000_000),
    )
    stale_age: float = field(
        default=3600.0,
        metadata=seconds(
            "While no server answers, a user found so long ago is still taken for found; 0: never.", 0, 1e6
        ),
    )
    stale_negative_age: float = field(
        default=0.0,
        metadata=seconds("The same for a name that nobody had; 0: never, such a login is told to try later.", 0, 1e6),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberSettings:
    """`[directory.remember]`: passwords that may be verified while no directory server answers."""

    enabled: bool = field(
        default=False,
        metadata=doc(
            "Remember a keyed digest of passwords that a server has accepted, in memory only, and use it while no "
            "server answers. Needs mirror = true, which drops it when the entry changes."
        ),
    )
    age: float = field(
        default=3600.0,
        metadata=seconds("How long after a server has accepted it a password is remembered.", 1.0, 604800.0),
    )
    size: int = field(default=100_000, metadata=doc("Users remembered, 64 bytes each.", min=64, max=4_000_000))
    attempts: int = field(
        default=5, metadata=doc("Wrong passwords in a row after which a user's digest is dropped.", min=1, max=100)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntrySettings:
    """`[directory.shards]`: entries that say which backends a shard has, for the mirror to follow as well."""

    base: str = field(default="", metadata=doc("The entry below which shards are found; empty: no entries for shards."))
    filter: str = field(default="(objectClass=*)", metadata=doc("Only entries that match this filter are shards."))
    name: str = field(default="cn", metadata=doc("Names the shard."))
    backends: str = field(
        default="vestibuleBackend",
        metadata=doc('Its values are the backends: "mb1a host=mb1a.example priority=1 weight=1 imap=143".'),
    )

    def faults(self) -> Iterator[Fault]:
        yield from _attribute_faults("name", self.name or "-")
        yield from _attribute_faults("backends", self.backends or "-")
        yield from filter_faults("filter", self.filter)


def filter_faults(key: str, text: str) -> Iterator[Fault]:
    """What is wrong with a filter in the settings."""
    try:
        parse_filter(text)
    except FilterError as error:
        yield key, str(error)


def read_address(url: str) -> Address | str:
    """The address, or what is wrong with it."""
    try:
        return parse_address(url)
    except ValueError as error:
        return f"{url!r}: {error}"


def lower(name: str) -> str:
    """In lower case, letter by letter as servers do it: `str.lower` makes two characters of İ."""
    return name.replace("İ", "i").lower()


def lowered(names: tuple[str, ...]) -> list[str]:
    """Domains as they stand in canonical names."""
    return [lower(unicodedata.normalize("NFC", name)) for name in names]


def domain_faults(key: str, names: tuple[str, ...]) -> Iterator[Fault]:
    """Domains that no canonical name has."""
    for number, name in enumerate(names):
        if not name or name != name.strip() or "@" in name or name.endswith("."):
            yield f"{key}[{number}]", f"{name!r} is no domain; write what stands behind the @, without a dot at its end"


def _attribute_faults(key: str, value: str) -> Iterator[Fault]:
    if value and not _ATTRIBUTE.fullmatch(value):
        yield key, f"{value!r} is not an attribute name; use a name such as mailHost or a dotted number"

"""A small mail site: a directory, two shards with a Dovecot each, an authority, and the daemon in front of them."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tls import CertificateFiles, ThrowawayAuthority

from .addresses import unused_address
from .clients import trusting
from .dovecot import MASTER_PASSWORD, MASTER_USER, Dovecot
from .slapd import Slapd
from .vestibule import Vestibule

SPARE_USERS = 200
"""Users per shard beside alice and bob, for tests that want an empty mailbox of their own."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has an account in the directory and on a mail server."""

    name: str
    password: str


ALICE = User("alice", "Alice's secret")
BOB = User("bob", 'Bob\'s "secret" \\ 2')
MAY = User("may", "the auditor's secret")
"""The auditor, who may log in for others where a test's configuration says so."""


def spare_users(shard: str, count: int = SPARE_USERS) -> list[User]:
    """The further users of a shard, in the order in which tests get them."""
    return [User(f"{shard}-user{number}", f"secret-{number}") for number in range(count)]


def passwords() -> dict[str, str]:
    """Everybody's password: all users exist on every Dovecot, so that only routing decides who goes where."""
    everybody = [ALICE, BOB, MAY, *spare_users("s1"), *spare_users("s2")]
    return {user.name: user.password for user in everybody}


def populate(slapd: Slapd, spare: int = SPARE_USERS) -> None:
    """Add everybody to the directory: alice and the auditor in shard s1, bob in s2, and `spare` more in each."""
    shards = {"s1": [ALICE, MAY, *spare_users("s1", spare)], "s2": [BOB, *spare_users("s2", spare)]}
    for shard, users in shards.items():
        for user in users:
            slapd.add_user(user.name, user.password, mailHost=shard)


class Site:
    """The servers of a test session, and the configuration that ties them together."""

    def __init__(self, folder: Path, authority: ThrowawayAuthority, slapd: Slapd, s1: Dovecot, s2: Dovecot) -> None:
        self.folder = folder
        self.authority = authority
        self.slapd = slapd
        self.s1 = s1
        self.s2 = s2
        self.ca_file = authority.write_ca(folder / "ca.pem")
        self.master_password_file = folder / "master.secret"
        self.master_password_file.write_text(MASTER_PASSWORD + "\n")
        self.master_password_file.chmod(0o600)
        self._spare = {shard: iter(spare_users(shard)) for shard in ("s1", "s2")}
        self._numbers = itertools.count()

    def user(self, shard: str = "s1") -> User:
        """A user nobody has used yet; AssertionError when all `SPARE_USERS` are used up."""
        user = next(self._spare[shard], None)
        assert user is not None, "more SPARE_USERS are needed"
        return user

    def trusting(self) -> ssl.SSLContext:
        """A mail client's TLS context that trusts the site's authority."""
        return trusting(self.ca_file)

    def certificate(self, address: str, **options: Any) -> CertificateFiles:
        """A new certificate for a loopback address (and `dns` names)."""
        return self.authority.issue(self.folder, f"server{next(self._numbers)}", ips=[address], **options)

    def vestibule(
        self,
        changes: Mapping[str, Any] | None = None,
        *,
        workers: int = 2,
        address: str = "",
        listener: Mapping[str, Any] | None = None,
    ) -> Vestibule:
        """The daemon before these servers; `changes` replaces keys of sections (see `merged`)."""
        sections = self.sections()
        daemon = Vestibule(sections, workers=workers, address=address, listener=listener)
        sections["certificate"] = [certificate_table(self.certificate(daemon.address))]
        daemon.configure(merged(sections, changes or {}))
        return daemon

    def sections(self) -> dict[str, Any]:
        """The configuration: the directory with its service identity, two shards, STARTTLS to the mail servers."""
        return {
            "directory": {
                "kind": "ldap",
                "servers": [self.slapd.ldap],
                "base": self.slapd.people,
                "bind_dn": self.slapd.service_dn,
                "bind_password_file": self.slapd.password_file,
                "attributes": {"user": "uid", "shard": "mailHost"},
            },
            "backend_login": {"mode": "password", "tls": "starttls", "ca_file": self.ca_file},
            "auth": {"failure_delay": 0.0},
            "timeouts": {"drain": 0.5},
            "shard": [shard("s1", self.s1), shard("s2", self.s2)],
        }

    def master(self) -> dict[str, Any]:
        """The change that lets the daemon log in at the mail servers as their master user."""
        return {
            "mode": "master",
            "master_user": MASTER_USER,
            "master_password_file": self.master_password_file,
        }


def shard(name: str, *dovecots: Dovecot, **keys: Any) -> dict[str, Any]:
    """A [[shard]] of these servers, the first preferred; `keys` are added to each backend."""
    return {"name": name, "backend": [backend(each, i + 1, **keys) for i, each in enumerate(dovecots)]}


def backend(dovecot: Dovecot, priority: int = 1, **keys: Any) -> dict[str, Any]:
    """A [[shard.backend]] for a Dovecot's ports without implicit TLS."""
    ports = {"imap": dovecot.ports["imap"], "pop3": dovecot.ports["pop3"], "managesieve": dovecot.ports["sieve"]}
    return {"name": dovecot.name, "host": dovecot.address, "priority": priority, "ports": ports, **keys}


def merged(sections: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`sections` with `changes`: tables are merged key by key, everything else is replaced, None removes."""
    result = dict(sections)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return {key: value for key, value in result.items() if value is not None}


def certificate_table(files: CertificateFiles) -> dict[str, Any]:
    """A [[certificate]] of the configuration."""
    return {"chain": files.chain, "key": files.key}


def new_dovecot(
    name: str, folder: Path, authority: ThrowawayAuthority, certificate: CertificateFiles | None = None, **options: Any
) -> Dovecot:
    """A mail server that knows everybody, by default with a certificate for its address and for NAME.example."""
    address = unused_address()
    files = certificate or authority.issue(folder, name, dns=[f"{name}.example"], ips=[address])
    return Dovecot(name, files, passwords(), address=address, **options)

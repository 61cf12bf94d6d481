"""A small site for tests: a configuration that is good as it stands, in a directory with all files it names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from proxy.reading import Fault, read
from proxy.settings import Settings
from tls import ThrowawayAuthority

USERS = """\
dn: uid=alice,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: alice
mailHost: s1
userPassword: {SSHA}LTPPmDrmvJkHbxaAt2YhEPjTc8GNZ1dS

"""

SMALLEST = """\
[node]
user = ""

[[listener]]
protocol = "imap"
address = "127.0.0.1:0"

[[certificate]]
chain = "mail.pem"
key = "mail.key"

[directory]
kind = "ldif"
file = "users.ldif"

[[shard]]
name = "s1"

[[shard.backend]]
name = "mb1a"
host = "mb1a.example.org"
"""


def settings_from(text: str, base: Path = Path("/etc/vestibule")) -> tuple[Settings | None, tuple[Fault, ...]]:
    """Reads a configuration from its text, without looking at any file it names."""
    return read(Settings, tomllib.loads(text), base)


def good_settings(text: str = SMALLEST, base: Path = Path("/etc/vestibule")) -> Settings:
    """The settings in a text that has no fault."""
    settings, faults = settings_from(text, base)
    assert settings is not None, [str(fault) for fault in faults]
    return settings


def faults_of(text: str) -> list[str]:
    """What is said about a text."""
    return [str(fault) for fault in settings_from(text)[1]]


def write_site(directory: Path, text: str = SMALLEST, **certificate: Any) -> Path:
    """Writes the configuration and the files it names; the configuration's path."""
    authority = ThrowawayAuthority()
    authority.write_ca(directory / "ca.pem")
    files = authority.issue(directory, "issued", dns=("mail.example.org",), ips=("127.0.0.1",), **certificate)
    files.chain.rename(directory / "mail.pem")
    files.key.rename(directory / "mail.key")
    (directory / "mail.key").chmod(0o600)
    (directory / "users.ldif").write_text(USERS)
    config = directory / "vestibule.toml"
    config.write_text(text)
    return config

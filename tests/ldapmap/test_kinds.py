"""The kind of directory follows the settings."""

import ssl
from pathlib import Path

from ldapmap.embedded import LdifDirectory
from ldapmap.kinds import open_directory
from ldapmap.ldap import LdapDirectory
from ldapmap.settings import DirectorySettings


def test_a_file_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "users.ldif").write_text("dn: uid=a\nuid: a\n")
    directory = open_directory(DirectorySettings(kind="ldif", file=tmp_path / "users.ldif"), None)
    assert isinstance(directory, LdifDirectory)


def test_servers_are_a_directory() -> None:
    settings = DirectorySettings(kind="ldap", servers=("ldaps://ldap.example",), base="dc=x")
    assert isinstance(open_directory(settings, ssl.create_default_context()), LdapDirectory)

"""The kind of directory follows the settings."""

import ssl
from pathlib import Path

from ldapmap.directory import Directory
from ldapmap.embedded import LdifDirectory
from ldapmap.kinds import open_directory
from ldapmap.layer import Layer
from ldapmap.memory.line import MemoryLine, memory_pair
from ldapmap.settings import DirectorySettings


def test_a_file_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "users.ldif").write_text("dn: uid=a\nuid: a\n")
    directory = open_directory(DirectorySettings(kind="ldif", file=tmp_path / "users.ldif"), None)
    assert isinstance(directory, LdifDirectory)


SERVERS = DirectorySettings(kind="ldap", servers=("ldaps://ldap.example",), base="dc=x")


def layers(directory: Directory) -> list[str]:
    """The layers' classes, the outermost first."""
    found = [type(directory).__name__]
    while isinstance(directory, Layer):
        directory = directory._inner
        found.append(type(directory).__name__)
    return found


def test_servers_are_a_directory_whose_answers_are_kept() -> None:
    assert layers(open_directory(SERVERS, ssl.create_default_context())) == ["CachedDirectory", "LdapDirectory"]


def test_a_mirror_and_a_memory_are_further_layers(tmp_path: Path) -> None:
    ours, theirs = memory_pair()
    with ours, theirs:
        opened = open_directory(SERVERS, ssl.create_default_context(), mirror=tmp_path, memory=MemoryLine(ours))
        assert layers(opened) == ["RememberingDirectory", "MirroredDirectory", "LdapDirectory"]

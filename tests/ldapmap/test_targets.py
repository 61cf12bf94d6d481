"""How a server is reached, and as whom."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from ldapmap.settings import DirectorySettings
from ldapmap.targets import read_identity, read_password, target_for


def settings(url: str, **more: Any) -> DirectorySettings:
    return DirectorySettings(kind="ldap", servers=(url,), base="dc=x", message_limit=4096, **more)


def test_a_password_file_loses_one_line_break_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for content, password in ((b"x", b"x"), (b" x \n", b" x "), (b"x\r\n", b"x"), (b"x\n\n", b"x\n")):
        path.write_bytes(content)
        assert read_password(path) == password
    path.write_bytes(b"\n")
    with pytest.raises(ValueError, match="is empty"):
        read_password(path)


def test_the_password_of_the_identity_is_read_and_does_not_print(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"hunter2\n")
    identity = read_identity(settings("ldap://a", bind_dn="cn=x", bind_password_file=path))
    assert identity is not None
    assert (identity.dn, identity.password) == (b"cn=x", b"hunter2")
    assert "hunter2" not in repr(identity)
    assert read_identity(settings("ldap://a")) is None


@pytest.mark.parametrize(
    ("url", "starttls", "encrypted"),
    [("ldap://a", False, False), ("ldap://a", True, True), ("ldaps://a", False, True), ("ldapi://%2Fx", False, False)],
)
def test_tls_is_used_where_the_settings_say(url: str, starttls: bool, encrypted: bool) -> None:
    context = ssl.create_default_context()
    target = target_for(url, settings(url, starttls=starttls), context)
    assert (target.context is context) == encrypted
    assert target.message_limit == 4096


def test_tls_without_a_context_is_refused() -> None:
    with pytest.raises(ValueError, match="TLS context"):
        target_for("ldaps://a", settings("ldaps://a"), None)

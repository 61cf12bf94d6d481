"""Directories on scripted servers."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from ldapmap.ldap import LdapDirectory
from ldapmap.settings import DirectorySettings
from tests.ldapmap.fake import FakeServer


class OpenDirectory(Protocol):
    def __call__(
        self, *servers: FakeServer | str, context: ssl.SSLContext | None = None, **changes: Any
    ) -> contextlib.AbstractAsyncContextManager[LdapDirectory]: ...


@pytest.fixture
def directory_on(tmp_path: Path) -> OpenDirectory:
    """A started directory on these servers, with the service identity cn=service; changes are to the settings."""
    password = tmp_path / "service.secret"
    password.write_text("service secret\n")

    @contextlib.asynccontextmanager
    async def opened(
        *servers: FakeServer | str, context: ssl.SSLContext | None = None, **changes: Any
    ) -> AsyncIterator[LdapDirectory]:
        urls = tuple(server if isinstance(server, str) else server.url for server in servers)
        given: dict[str, Any] = {
            "servers": urls,
            "base": "dc=x",
            "bind_dn": "cn=service",
            "bind_password_file": password,
            "server_retry": 0.05,
            **changes,
        }
        directory = LdapDirectory(DirectorySettings(kind="ldap", **given), context)
        await directory.start()
        try:
            yield directory
        finally:
            await directory.close()

    return opened

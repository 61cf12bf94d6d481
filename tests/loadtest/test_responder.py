"""The directory for measurements answers our own client as a real one does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ldapmap import DirectorySettings, Entry, open_directory
from loadtest.responder import Responder, element, take


@pytest.mark.parametrize("filter", ["(objectClass=*)", "(&(objectClass=person)(!(nsRole=locked)))"])
async def test_everybody_is_found_and_every_password_is_right(tmp_path: Path, filter: str) -> None:  # noqa: A002
    server = await asyncio.get_running_loop().create_server(Responder, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (tmp_path / "secret").write_text("secret")
    settings = DirectorySettings(
        kind="ldap",
        servers=(f"ldap://127.0.0.1:{port}",),
        base="ou=people,dc=example,dc=org",
        bind_dn="cn=vestibule",
        bind_password_file=tmp_path / "secret",
        filter=filter,
    )
    directory = open_directory(settings, None)
    await directory.start()
    entry = await directory.find("Alice")
    assert entry == Entry("alice", "uid=alice,ou=people,dc=example,dc=org", "s1")
    await directory.verify(entry, b"anything")
    await directory.close()
    server.close()
    await server.wait_closed()


def test_elements_are_cut_by_their_length() -> None:
    for size in (0, 1, 127, 128, 300, 65535):
        whole = element(0x04, bytes(size))
        assert take(whole, 0) == (0x04, len(whole) - size, len(whole))
        assert take(whole[:-1], 0) is None
    assert take(b"\x04", 0) is None
    assert take(b"\x04\x82\x01", 0) is None

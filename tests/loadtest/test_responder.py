"""The directory for measurements answers our own client as a real one does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from ldapmap import DirectorySettings, Entry, open_directory
from loadtest.responder import LONGEST, SUCCESS, Responder, element, take


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


async def answers(*requests: bytes) -> bytes:
    """What is answered to these bytes until the connection ends."""
    server = await asyncio.get_running_loop().create_server(Responder, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for request in requests:
            writer.write(request)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer


UNBIND = element(0x30, b"\x02\x01\x09" + element(0x42, b""))


async def test_a_bind_without_name_or_password_is_answered_as_well() -> None:
    ok = element(0x30, b"\x02\x01\x01" + element(0x61, SUCCESS))
    assert await answers(element(0x30, b"\x02\x01\x01" + element(0x60, b"")), UNBIND) == ok


async def test_what_is_abandoned_is_not_answered_and_what_is_unknown_ends_the_connection() -> None:
    abandoned = element(0x30, b"\x02\x01\x02" + element(0x50, b"\x01"))
    deletion = element(0x30, b"\x02\x01\x03" + element(0x4A, b"uid=x"))
    bind = element(0x30, b"\x02\x01\x04" + element(0x60, b""))
    assert (await answers(abandoned, bind, UNBIND)).startswith(b"\x30\x0c\x02\x01\x04")
    assert await answers(deletion) == b""


async def test_a_message_without_an_end_is_not_kept() -> None:
    with suppress(ConnectionError):
        assert await answers(b"\x30\x84\x7f\xff\xff\xff" + bytes(2 * LONGEST)) == b""

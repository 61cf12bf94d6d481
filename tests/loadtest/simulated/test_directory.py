"""The simulated directory, asked by our own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ldapmap import Attributes, Directory, DirectoryError, DirectorySettings, UnknownUser, WrongPassword, open_directory
from loadtest.content import shard_of
from loadtest.people import PEOPLE, SERVICE_DN, SERVICE_PASSWORD, dn, uid
from loadtest.simulated.directory import SimulatedDirectory, directory_of

SHARDS = ("north", "south")


@asynccontextmanager
async def opened(folder: Path, password: str = SERVICE_PASSWORD) -> AsyncIterator[Directory]:
    """A directory of 1000 users, as the proxy's workers use one."""
    server = await asyncio.get_running_loop().create_server(directory_of(SHARDS, 1000), "127.0.0.1", 0)
    (folder / "secret").write_text(password)
    settings = DirectorySettings(
        kind="ldap",
        servers=(f"ldap://127.0.0.1:{server.sockets[0].getsockname()[1]}",),
        base=PEOPLE,
        bind_dn=SERVICE_DN,
        bind_password_file=folder / "secret",
        attributes=Attributes(aliases=("mail",)),
    )
    async with server:
        directory = open_directory(settings, None)
        await directory.start()
        yield directory
        await directory.close()


async def test_users_are_found_by_name_and_address_on_the_shard_of_their_name(tmp_path: Path) -> None:
    async with opened(tmp_path) as directory:
        for number in (0, 7, 999):
            for name in (uid(number), uid(number).upper(), f"{uid(number)}@example.org"):
                entry = await directory.find(name)
                assert (entry.user, entry.dn, entry.shard) == (uid(number), dn(number), shard_of(uid(number), SHARDS))
        assert (await directory.find("user7")).user == "user7"


async def test_nobody_else_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as directory:
        for name in ("user0001000", "user", "user00000001", "alice", "user0000001@elsewhere.org", "xuser0000001"):
            with pytest.raises(UnknownUser):
                await directory.find(name)


async def test_every_password_but_one_is_right(tmp_path: Path) -> None:
    async with opened(tmp_path) as directory:
        entry = await directory.find("user0000001")
        await directory.verify(entry, b"anything")
        with pytest.raises(WrongPassword):
            await directory.verify(entry, b"wrong")
        await directory.verify(entry, b"wrong ")


async def test_the_identity_that_searches_has_a_password_as_well(tmp_path: Path) -> None:
    async with opened(tmp_path, "wrong") as directory:
        with pytest.raises(DirectoryError):
            await directory.find("user0000001")


def test_somebody_who_does_not_exist_has_no_password() -> None:
    connection = SimulatedDirectory()
    assert connection.verify(b"uid=alice,ou=people", b"anything") == connection.verify(b"uid=user1,ou", b"wrong")

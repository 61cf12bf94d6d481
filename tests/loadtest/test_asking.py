"""A directory asked as workers ask it, here of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ldapmap import Directory, DirectorySettings, UnknownUser, open_directory
from loadtest.asking import opened, settings_for, some_users, verification, whole_login
from loadtest.people import PEOPLE, SERVICE_DN, ldif, uid
from loadtest.slapd import Slapd


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Directory]:
    file = tmp_path / "people.ldif"
    file.write_text("".join(ldif(3)))
    async with opened(open_directory(DirectorySettings(kind="ldif", file=file, base=PEOPLE), None)) as started:
        yield started


async def test_a_login_finds_and_verifies(directory: Directory) -> None:
    login = whole_login(directory)
    await login(uid(2))
    with pytest.raises(UnknownUser):
        await login(uid(3))


async def test_a_verification_finds_nobody(directory: Directory) -> None:
    entry = await directory.find(uid(1))
    await verification(directory, {"anybody": entry})("anybody")


def test_settings_are_the_defaults_but_for_the_server() -> None:
    server = Slapd([])
    try:
        settings = settings_for(server, queue_limit=5)
        assert not list(settings.faults())
    finally:
        server.close()
    assert (settings.servers, settings.bind_dn, settings.queue_limit) == ((server.ldaps,), SERVICE_DN, 5)


def test_some_users_are_the_same_every_time() -> None:
    assert some_users(10, 5) == some_users(10, 5)
    assert len(some_users(10, 50)) == 50
    assert set(some_users(1, 3)) == {uid(0)}

"""The process around the mirror, with mirrors that do as they are told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ldapmap import DirectorySettings
from ldapmap.mirror.status import MirrorStatus, Progress
from loadtest.mirror_process import MirrorFailed, MirrorProcess

SETTINGS = DirectorySettings(kind="ldap", mirror=True)


class Mirror:
    """In step as soon as its task has run once; it writes down that it was ended in an orderly way."""

    def __init__(self, settings: DirectorySettings, context: Any, path: Path) -> None:
        self._path = path
        self._state = Progress()

    async def run(self) -> None:
        await asyncio.sleep(0)
        self._state.following("ldap://a.example")
        try:
            await asyncio.Event().wait()
        finally:
            (self._path / "ended").touch()

    def status(self) -> MirrorStatus:
        return MirrorStatus(
            state=self._state.state,
            server=self._state.server,
            users=7,
            entries=7,
            file_bytes=1,
            generation=1,
            last_contact=0.0,
            lag_seconds=0.0,
            changes=0,
            received=7,
            reloads=0,
            reconnects=0,
            purges_refused=0,
            unusable=0,
            message="",
        )


class Failing(Mirror):
    """Ends at once."""

    async def run(self) -> None:
        raise OSError("no room")


class Idle(Mirror):
    """Never in step."""

    async def run(self) -> None:
        await asyncio.Event().wait()


def test_it_tells_what_it_took_and_ends_in_an_orderly_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("loadtest.mirror_process.Mirror", Mirror)
    with MirrorProcess(SETTINGS, None, tmp_path / "mirror", asyncio.new_event_loop) as process:
        told = process.in_step()
        assert Path(f"/proc/{process.pid}").exists()
    assert (told.status.users, told.status.state) == (7, "following")
    assert told.wall > 0
    assert told.cpu > 0
    assert (tmp_path / "mirror" / "ended").exists()
    assert not Path(f"/proc/{process.pid}").exists()


def test_a_mirror_that_ends_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("loadtest.mirror_process.Mirror", Failing)
    with (
        pytest.raises(MirrorFailed, match="it ended"),
        MirrorProcess(SETTINGS, None, tmp_path, asyncio.new_event_loop) as process,
    ):
        process.in_step()


def test_a_mirror_that_is_never_in_step_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("loadtest.mirror_process.Mirror", Idle)
    monkeypatch.setattr("loadtest.mirror_process.PATIENCE", 0.0)
    with (
        pytest.raises(MirrorFailed, match="in time"),
        MirrorProcess(SETTINGS, None, tmp_path, asyncio.new_event_loop) as process,
    ):
        process.in_step()

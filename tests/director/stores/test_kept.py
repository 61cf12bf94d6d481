"""The operator's words about backends outlive the director of a node that is alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from director.stores import kept
from director.stores.kept import KeptStore


async def started(path: Path) -> KeptStore:
    store = KeptStore(time.monotonic, path)
    await store.start()
    return store


async def test_what_was_said_is_there_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "backends.json"
    store = await started(path)
    await store.set_admin("mb1a", "offline")
    await store.set_admin("mb1b", "standby")
    await store.set_admin("mb1a", "")
    assert path.stat().st_mode & 0o777 == 0o600
    again = await started(path)
    assert (await again.beat("front1", "x")).admin == {"mb1b": "standby"}
    assert [file.name for file in tmp_path.iterdir()] == ["backends.json"]


async def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "backends.json").write_text("")
    assert (await started(tmp_path / "backends.json")).admin == {}


@pytest.mark.parametrize("text", ["rubbish", "[]", '{"mb1a": 1}'])
async def test_a_file_that_cannot_be_read_is_told_and_replaced(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "backends.json"
    path.write_text(text)
    store = await started(path)
    assert store.admin == {}
    assert "is not known" in caplog.text
    await store.set_admin("mb1a", "offline")
    assert (await started(path)).admin == {"mb1a": "offline"}


async def test_without_the_right_to_make_files_the_one_that_is_there_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "backends.json"
    path.write_text("x" * 1000)
    put = kept._put

    def refused(where: Path, text: bytes) -> None:
        if where != path:
            raise PermissionError(13, "Permission denied")
        put(where, text)

    monkeypatch.setattr(kept, "_put", refused)
    store = await started(path)
    await store.set_admin("mb1a", "offline")
    assert path.read_text() == '{"mb1a":"offline"}'


async def test_what_cannot_be_kept_counts_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = await started(tmp_path / "missing" / "backends.json")
    await store.set_admin("mb1a", "offline")
    assert store.admin == {"mb1a": "offline"}
    assert "a restart will forget it" in caplog.text


async def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "backends.json"
    store = await started(path)
    path.mkdir()
    await store.set_admin("mb1a", "offline")
    assert os.listdir(tmp_path) == ["backends.json"]
    assert "a restart will forget it" in caplog.text

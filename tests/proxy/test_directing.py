"""The director's process: what is made for it, whom it tells of changes, and when it ends. Its life is tried with the
whole daemon, in test_supervisor.py."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from director import BackendSettings, Console, Core, DirectorSettings, Service, Shards, ShardSettings
from proxy import directing
from proxy.directing import _Ending, _Watcher, make_state_file, state_file
from proxy.localsockets import LocalSockets, open_local_sockets
from proxy.resolver import Resolver
from proxy.settings import NodeSettings, Settings, Timeouts
from tests.proxy.front import site
from tests.proxy.talk import Server, silent


def settings_in(folder: Path, **director: Any) -> Settings:
    node = NodeSettings(name="front1", user="", run_dir=folder)
    timeouts = Timeouts(drain=0.0)
    return replace(site(Server(silent)), node=node, timeouts=timeouts, director=DirectorSettings(**director))


def test_a_node_that_is_alone_has_a_file_for_the_operators_words(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert state_file(settings) == tmp_path / "backends.json"
    make_state_file(settings)
    assert state_file(settings).stat().st_mode & 0o777 == 0o600
    state_file(settings).write_text("kept")
    make_state_file(settings)
    assert state_file(settings).read_text() == "kept"


def test_the_file_may_be_elsewhere(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, state_file=tmp_path / "lib" / "words.json")
    assert state_file(settings) == tmp_path / "lib" / "words.json"
    with pytest.raises(OSError):
        make_state_file(settings)


def test_nodes_that_share_a_store_need_none(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, store="redis://127.0.0.1:6379/0")
    make_state_file(settings)
    assert list(tmp_path.iterdir()) == []


class Stub:
    """A service and a console, as far as they are asked here."""

    def __init__(self) -> None:
        self.workers = ["0/1/a"]
        self.accepting = True
        self.told: list[tuple[str, Any]] = []

    def stop_accepting(self) -> None:
        self.accepting = False

    def route_changed(self, user: str, shard: str, preferred: str) -> None:
        self.told.append((user, shard))

    def routes_lost(self) -> None:
        self.told.append(("lost", ""))

    def shards_changed(self, shards: Shards) -> None:
        self.told.append(("shards", shards))


class Mover:
    """Who knows of gates."""

    def __init__(self) -> None:
        self.gated: list[str] = []

    def watch_gates(self, gated: list[str]) -> None:
        self.gated = gated


class Head:
    """A core, as far as it is asked here."""

    def __init__(self) -> None:
        self.mover = Mover()


@pytest.mark.parametrize("gated", [True, False])
async def test_new_shards_are_told_to_all_whom_they_concern(gated: bool) -> None:
    stub, head, resolver = Stub(), Head(), Resolver(["127.0.0.1"])
    watcher = _Watcher(cast(Core, head), cast(Service, stub), resolver, gated=gated)
    backends = (BackendSettings(name="mb1a", host="127.0.0.9"), BackendSettings(name="mb1b", host="127.0.0.10"))
    shards = Shards([ShardSettings(name="s1", backend=backends)])
    watcher.shards_changed(shards)
    watcher.route_changed("alice", "s1", "")
    watcher.routes_lost()
    assert resolver.addresses("127.0.0.9") == ("127.0.0.9",)
    assert resolver.addresses("127.0.0.1") == ()
    assert head.mover.gated == (["mb1a", "mb1b"] if gated else [])
    assert stub.told == [("shards", shards), ("alice", "s1"), ("lost", "")]


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="vest-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def local(folder: Path) -> Iterator[LocalSockets]:
    sockets = open_local_sockets(NodeSettings(user="", run_dir=folder))
    yield sockets
    sockets.close()


class Scene:
    """An ending that is looked at step by step."""

    def __init__(self, folder: Path, local: LocalSockets) -> None:
        self.stub, self.told = Stub(), asyncio.Event()
        service, console = cast(Service, self.stub), cast(Console, self.stub)
        self.ending = _Ending(settings_in(folder), local, service, console, self.told)

    @property
    def over(self) -> bool:
        return self.ending._is_over()


def test_it_goes_on_until_it_is_told(folder: Path, local: LocalSockets) -> None:
    scene = Scene(folder, local)
    scene.stub.workers = []
    assert not scene.over
    scene.told.set()
    assert scene.over


def test_told_to_end_it_waits_for_the_workers(folder: Path, local: LocalSockets) -> None:
    scene = Scene(folder, local)
    scene.told.set()
    assert not scene.over
    scene.stub.workers = []
    assert scene.over


def test_it_does_not_wait_for_ever(folder: Path, local: LocalSockets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directing, "_GRACE", 0.0)
    scene = Scene(folder, local)
    scene.told.set()
    assert scene.over


def test_an_orphan_lets_nobody_in_and_serves_who_is_there(
    folder: Path, local: LocalSockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(folder, local)
    monkeypatch.setattr(os, "getppid", lambda: -1)
    assert not scene.over
    assert not scene.stub.accepting
    scene.stub.workers = []
    assert scene.over


def test_an_orphan_makes_room_for_who_follows_it(
    folder: Path, local: LocalSockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(folder, local)
    monkeypatch.setattr(os, "getppid", lambda: -1)
    assert not scene.over
    local.remove()
    assert not scene.over
    follower = open_local_sockets(NodeSettings(user="", run_dir=folder))
    assert scene.over
    follower.close()


async def test_the_end_is_noticed(folder: Path, local: LocalSockets) -> None:
    scene = Scene(folder, local)
    scene.stub.workers = []
    waiting = asyncio.ensure_future(scene.ending.wait())
    scene.told.set()
    await asyncio.wait_for(waiting, 10)

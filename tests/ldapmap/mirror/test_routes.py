"""The mirror as workers see it: in other processes, while the file is written, replaced, or left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ldapmap.entries import Entry
from ldapmap.mirror import boot, routes
from ldapmap.mirror.errors import Unusable
from ldapmap.mirror.generations import Generations
from ldapmap.mirror.reader import Reader
from ldapmap.mirror.records import keys_of
from ldapmap.mirror.routes import Routes
from ldapmap.mirror.store import Writer

THESE = b"these settings"
ROOT = Path(__file__).parents[3]

WORKER = """
import sys
from pathlib import Path
from ldapmap.mirror.routes import Routes
routes = Routes(Path(sys.argv[1]), fingerprint=b"these settings", trust=60.0)
for line in sys.stdin:
    if line == "look\\n":
        routes.look()
    entry = routes.find(0, "ann")
    print(entry.shard if entry else "nobody", routes.loaded, flush=True)
"""

KILLED = """
import os, signal, sys
from pathlib import Path
from ldapmap.entries import Entry
from ldapmap.mirror.errors import Unusable
from ldapmap.mirror.generations import Generations
from ldapmap.mirror.store import Writer
generations = Generations(Path(sys.argv[1]))
generations.acquire()
writer = Writer(generations.new(), fingerprint=b"these settings")
writer.finish_load()
generations.publish(writer.path)
with writer.transaction() as change:
    change.put(bytes([1]) + bytes(16), [b"\\x01ann"], Entry("ann", "cn=ann", "s1"), b"")
with writer.transaction() as change:
    change.put(bytes([1]) + bytes(16), [b"\\x01ann"], Entry("ann", "cn=ann", "s2"), b"")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@contextmanager
def generation(folder: Path, shard: str) -> Iterator[Writer]:
    """A new generation in use, in which ann lives in this shard."""
    generations = Generations(folder)
    generations.acquire()
    writer = Writer(generations.new(), fingerprint=THESE)
    try:
        move(writer, shard)
        writer.finish_load()
        generations.publish(writer.path)
        yield writer
    finally:
        writer.close(clean=True)
        generations.release()


def move(writer: Writer, shard: str) -> None:
    with writer.transaction() as change:
        change.put(b"\x01" + bytes(16), keys_of(0, ["ann"]), Entry("ann", "cn=ann", shard), b"")
        change.heartbeat(time.monotonic(), time.time())


@contextmanager
def opened(folder: Path, fingerprint: bytes = THESE, trust: float = 60.0) -> Iterator[Routes]:
    made = Routes(folder, fingerprint=fingerprint, trust=trust)
    try:
        yield made
    finally:
        made.close()


class Worker:
    """Another process that looks for ann."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", WORKER, str(folder)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=20)

    def find(self, look: str = "") -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(look, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()


def shard(found: Entry | None) -> str:
    return "nobody" if found is None else found.shard


def test_without_a_mirror_nobody_is_found(folder: Path) -> None:
    with opened(folder) as ours:
        assert ours.find(0, "ann") is None
        assert not ours.loaded
        assert not ours.fresh
        assert ours.shards() == {}


def test_names_are_prepared_before_they_are_looked_up(folder: Path) -> None:
    with generation(folder, "s1"), opened(folder) as ours:
        assert shard(ours.find(0, "ＡＮＮ")) == "s1"
        assert shard(ours.find(1, "ann")) == "nobody"


def test_shards_are_told(folder: Path) -> None:
    with generation(folder, "s1") as writer, opened(folder) as ours:
        with writer.transaction() as change:
            change.put_shard(bytes(16), "s1", "{}")
        assert ours.shards() == {"s1": "{}"}


def test_shards_of_a_damaged_mirror_are_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(reader: Reader) -> dict[str, str]:
        raise Unusable("damaged")

    monkeypatch.setattr(Reader, "shards", damaged)
    with generation(folder, "s1"), opened(folder) as ours:
        assert ours.shards() == {}


def test_a_worker_sees_changes_at_once_and_the_next_generation_when_it_looks(folder: Path) -> None:
    with Worker(folder) as worker:
        assert worker.find() == "nobody False"
        with generation(folder, "s1") as writer:
            assert worker.find("look") == "s1 True"
            for number in range(20):
                move(writer, f"s{number}")
                assert worker.find() == f"s{number} True"
        with generation(folder, "other"):
            assert worker.find("look") == "other True"
        assert worker.find("look") == "other True"


def test_a_worker_keeps_its_file_until_it_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "LOOK", 3600.0)
    with opened(folder) as ours:
        with generation(folder, "s1") as writer:
            assert shard(ours.find(0, "ann")) == "s1"
            old = writer.path
        with generation(folder, "s2"):
            assert not old.exists()
            assert shard(ours.find(0, "ann")) == "s1"
            ours.look()
            assert shard(ours.find(0, "ann")) == "s2"


def test_it_looks_by_itself_after_a_while(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "LOOK", 0.0)
    with opened(folder) as ours:
        assert not ours.loaded
        with generation(folder, "s1"):
            assert ours.loaded
            assert ours.fresh
            assert shard(ours.find(0, "ann")) == "s1"


def test_it_is_fresh_while_the_server_was_heard_lately(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with generation(folder, "s1") as writer, opened(folder, trust=60.0) as ours:
        assert ours.fresh
        assert 0 <= ours.age < 60
        with writer.transaction() as change:
            change.heartbeat(time.monotonic() - 61, 0.0)
        ours.look()
        assert ours.loaded
        assert not ours.fresh


def test_a_heartbeat_from_before_the_system_started_is_worth_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with generation(folder, "s1"):
        pass
    (tmp_path / "boot_id").write_text("another")
    monkeypatch.setattr(boot, "BOOT_ID", tmp_path / "boot_id")
    with opened(folder) as ours:
        assert shard(ours.find(0, "ann")) == "s1"
        assert not ours.fresh


def test_a_mirror_of_other_settings_is_not_used(folder: Path) -> None:
    with generation(folder, "s1"), opened(folder, fingerprint=b"others") as ours:
        assert not ours.loaded
        assert ours.find(0, "ann") is None


def test_a_mirror_that_was_cut_off_is_not_used(folder: Path) -> None:
    with generation(folder, "s1") as writer:
        path = writer.path
    os.truncate(path, 5000)
    with opened(folder) as ours:
        assert not ours.loaded


def test_a_mirror_that_turned_out_damaged_is_opened_again(folder: Path) -> None:
    with generation(folder, "s1"), opened(folder) as ours:
        assert ours.loaded
        assert ours._reader is not None
        ours._reader.broken = True
        ours.look()
        assert not ours._reader.broken


def test_a_file_whose_writer_was_killed_has_what_was_committed(folder: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, timeout=20, check=False)
    assert killed.returncode == -signal.SIGKILL
    with opened(folder) as ours:
        assert shard(ours.find(0, "ann")) == "s1"
    current = Generations(folder).current
    assert current is not None
    writer = Writer(current, fingerprint=THESE)
    move(writer, "s3")
    writer.close(clean=True)


def test_a_file_whose_system_went_down_is_not_used(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, timeout=20, check=False)
    (tmp_path / "boot_id").write_text("another")
    monkeypatch.setattr(boot, "BOOT_ID", tmp_path / "boot_id")
    with opened(folder) as ours:
        assert not ours.loaded

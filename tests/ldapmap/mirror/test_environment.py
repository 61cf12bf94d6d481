"""Files that LMDB could not survive are not given to it, and none is opened twice."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ldapmap.mirror import boot
from ldapmap.mirror.environment import Environment, lock_of, open_environment, refuse_damaged
from ldapmap.mirror.errors import Unusable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with some contents, closed."""
    file = tmp_path / "file"
    environment = open_environment(file, writable=True)
    with environment.lmdb.begin(write=True) as transaction:
        for number in range(1000):
            transaction.put(b"%d" % number, b"x" * 100, db=environment.users)
    environment.fill_up()
    environment.release()
    return file


def test_a_reader_does_not_make_a_file(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="No such file"):
        open_environment(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_everybody_in_a_process_shares_one(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    first, second = open_environment(path), open_environment(tmp_path / "link")
    assert first is second
    first.release()
    with second.reading() as transaction:
        assert transaction.stat(second.users)["entries"] == 1000
    second.release()
    third = open_environment(path)
    assert third is not first
    third.release()


def test_it_becomes_writable_when_a_writer_comes(path: Path) -> None:
    reader = open_environment(path)
    assert not reader.writable
    writer = open_environment(path, writable=True)
    assert writer is reader
    assert reader.writable
    with writer.lmdb.begin(write=True) as transaction:
        transaction.put(b"new", b"1", db=writer.users)
    with reader.reading() as transaction:
        assert transaction.get(b"new", None, reader.users) == b"1"
    assert open_environment(path, writable=True) is reader
    for _ in range(3):
        reader.release()


def test_the_file_is_its_owners(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == lock_of(path).stat().st_mode & 0o777 == 0o600


def test_a_map_may_become_larger(path: Path) -> None:
    environment = open_environment(path, writable=True, map_size=1 << 20)
    environment.double()
    assert environment.map_size == 2 << 20
    environment.adopt_size()
    environment.release()


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 4200, 8191, 8192, 50_000])
def test_a_file_that_was_cut_off_is_refused(path: Path, size: int) -> None:
    os.truncate(path, size)
    with pytest.raises(Unusable):
        open_environment(path)
    with pytest.raises(Unusable):
        open_environment(path, writable=True)


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    path.write_bytes(b"x" * 100_000)
    with pytest.raises(Unusable, match="not a file of LMDB"):
        open_environment(path)


def test_a_file_without_our_tables_is_refused(tmp_path: Path) -> None:
    with lmdb.Environment(str(tmp_path / "other"), subdir=False, max_dbs=1) as other:
        other.open_db(b"users")
    with pytest.raises(Unusable):
        open_environment(tmp_path / "other")


@pytest.mark.parametrize("page", [0, 4096])
def test_a_file_with_one_damaged_head_is_refused(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page + 16)
        file.write(bytes(8))
    with pytest.raises(Unusable, match="not a file of LMDB"):
        refuse_damaged(path)


@given(st.lists(st.tuples(st.integers(0, 8191), st.integers(0, 255)), max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_damage_in_the_heads_is_refused_or_of_no_consequence(path: Path, damage: list[tuple[int, int]]) -> None:
    """Only the check is asked: what it lets through that matters, the sizes, is right."""
    data = bytearray(path.read_bytes())
    for at, value in damage:
        data[at] = value
    damaged = path.with_name("damaged")
    damaged.write_bytes(data)
    try:
        refuse_damaged(damaged)
    except Unusable:
        return
    assert int.from_bytes(data[40:44], "little") == 4096


def test_a_file_that_a_power_failure_left_is_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot.mark(path)
    open_environment(path).release()
    (tmp_path / "boot_id").write_text("another")
    monkeypatch.setattr(boot, "BOOT_ID", tmp_path / "boot_id")
    with pytest.raises(Unusable, match="went down"):
        open_environment(path)


def test_everything_is_copied_in_order(path: Path, tmp_path: Path) -> None:
    source: Environment = open_environment(path)
    target = open_environment(tmp_path / "copy", writable=True)
    source.copy_to(target)
    with source.reading() as one, target.reading() as two:
        assert list(one.cursor(source.users)) == list(two.cursor(target.users))
    assert target.file_bytes < source.file_bytes
    source.release()
    target.release()

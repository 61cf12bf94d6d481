"""What a file says about itself."""

from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from ldapmap.mirror import meta
from ldapmap.mirror.boot import boot_id
from ldapmap.mirror.environment import Environment, open_environment
from ldapmap.mirror.errors import Unusable


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    opened = open_environment(tmp_path / "file", writable=True)
    yield opened
    opened.release()


@pytest.fixture
def transaction(environment: Environment) -> "Iterator[lmdb.Transaction[bytes]]":
    begun = environment.lmdb.begin(write=True)
    yield begun
    begun.abort()


def test_a_file_is_refused_until_it_is_whole_and_of_these_settings(
    environment: Environment, transaction: "lmdb.Transaction[bytes]"
) -> None:
    meta.begin(transaction, environment.meta, b"these")
    with pytest.raises(Unusable, match="never loaded"):
        meta.refuse(transaction, environment.meta, b"these")
    transaction.put(meta.LOADED, b"1", db=environment.meta)
    meta.refuse(transaction, environment.meta, b"these")
    with pytest.raises(Unusable, match="other settings"):
        meta.refuse(transaction, environment.meta, b"others")


def test_changes_count_from_the_time_it_was_made(
    environment: Environment, transaction: "lmdb.Transaction[bytes]"
) -> None:
    meta.begin(transaction, environment.meta, b"these")
    assert meta.number(transaction, environment.meta, meta.SEQUENCE) > 1_700_000_000_000_000
    assert meta.number(transaction, environment.meta, meta.UNUSABLE) == 0


def test_a_heartbeat_is_of_the_system_that_is_running(
    environment: Environment, transaction: "lmdb.Transaction[bytes]"
) -> None:
    assert meta.heartbeat(transaction, environment.meta) == meta.NEVER
    meta.set_heartbeat(transaction, environment.meta, 12.5, 1e9)
    assert meta.heartbeat(transaction, environment.meta) == (12.5, 1e9, boot_id())


def test_a_cookie_may_have_a_name_of_any_length() -> None:
    assert len(meta.cookie_key("x" * 5000)) < 511
    assert meta.cookie_key("x") != meta.cookie_key("y")

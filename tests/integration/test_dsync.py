"""The pair of mail servers says that it is in sync when it is, and not a moment before."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tls import ThrowawayAuthority

from .dovecot import Dovecot
from .dsync import Pair
from .processes import group_members, title
from .wait import wait_until

USERS = {f"user{number}": f"secret-{number}" for number in range(3)}


@pytest.fixture(scope="module")
def pair(folder: Path, authority: ThrowawayAuthority) -> Iterator[Pair]:
    with Pair(folder, authority, USERS) as servers:
        yield servers


@contextmanager
def unable_to_begin_anything(server: Dovecot) -> Iterator[None]:
    """The server's master hangs, so that no more processes are started, as on a machine that has no time for it."""
    master = int((server.home / "run" / "master.pid").read_text())
    wait_until(partial(_is_without_doveadm, master), "the last doveadm process to end")
    os.kill(master, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(master, signal.SIGCONT)


def _is_without_doveadm(master: int) -> bool:
    return not any("doveadm" in title(pid) for pid in group_members(master))


def test_a_synchronisation_that_has_not_even_begun_is_waited_for(pair: Pair) -> None:
    with unable_to_begin_anything(pair.first):
        pair.write(pair.second, "user1", "late")
        pair.first.doveadm("replicator", "replicate", "user1")
        wait_until(lambda: pair.dsync_status(pair.first) == {"user1": "Waiting for handshake"}, "the order to be taken")
        assert pair.replicator_status(pair.first)["user1"].taken, "nothing seems to wait"
        assert not pair.in_sync("user1", at=pair.first)
    pair.wait_until_in_sync("user1")
    assert "late" in pair.messages(pair.first, "user1")


def test_who_could_not_be_synchronised_is_ordered_again(pair: Pair) -> None:
    pair.first.kill()
    pair.write(pair.second, "user2", "while-down")
    wait_until(lambda: pair.replicator_status(pair.second)["user2"].failed, "the replicator to fail")
    assert not pair.in_sync("user2", at=pair.second)
    pair.first.start()
    pair.wait_until_in_sync("user2", at=pair.second)
    assert "while-down" in pair.messages(pair.first, "user2")

"""The sync gate before a real pair: it says yes when all mail is there, and not a moment before."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import pytest

from director import Backend, Shard
from director.gate import Gate, GateSettings, Word
from tls import ThrowawayAuthority

from .addresses import accepts
from .dovecot import Dovecot
from .dsync import DOVEADM_KEY, Pair
from .processes import program
from .wait import wait_until
from .witness import Witness

USERS = {f"user{number}": f"secret-{number}" for number in range(5)}


@pytest.fixture(scope="module")
def pair(folder: Path, authority: ThrowawayAuthority) -> Iterator[Pair]:
    """A pair in sync; a test that harms it mends it."""
    with Pair(folder, authority, USERS) as servers:
        yield servers


async def says_yes(gate: Gate, home: Backend, partner: Backend, since: float) -> bool:
    """Whether the gate says yes when it is asked several times, as the director does."""
    for _ in range(5):
        if (await gate.synced(home, [partner], since)).synced:
            return True
    return False


@pytest.fixture
def home(pair: Pair) -> Backend:
    """The backend that users return to, if the gate lets them."""
    return Backend(pair.first.name, pair.first.address)


@pytest.fixture
def partner(pair: Pair) -> Backend:
    """The backend that has served them meanwhile."""
    return Backend(pair.second.name, pair.second.address)


def by_doveadm(pair: Pair, **more: Any) -> Gate:
    """A strict gate that asks the replicators."""
    return Gate(GateSettings(**pair.gate(max_lag=0.0, **more)), lambda _: None)


def by_dsync(server: Dovecot, **more: Any) -> Gate:
    """A gate that has all mail synchronised by a command, run at a server's side."""
    command = (program("doveadm", "dovecot-core"), "-c", str(server.configuration), "sync", "-A", "-d")
    return Gate(GateSettings(command=command, **more), lambda _: Shard("s1", ()))


async def test_the_gate_says_yes_when_both_have_everything(pair: Pair, home: Backend, partner: Backend) -> None:
    pair.write(pair.second, "user1", "at-peace")
    assert await says_yes(by_doveadm(pair), home, partner, time())
    assert pair.messages(pair.first, "user1") == pair.messages(pair.second, "user1") == {"at-peace"}


async def test_the_gate_may_ask_with_the_key(pair: Pair, folder: Path, home: Backend, partner: Backend) -> None:
    key = folder / "doveadm.key"
    key.write_text(DOVEADM_KEY)
    settings = pair.gate(doveadm_auth="api_key") | {"doveadm_password_file": key}
    assert await says_yes(Gate(GateSettings(**settings), lambda _: None), home, partner, time())


async def test_a_wrong_password_says_no(pair: Pair, folder: Path, home: Backend, partner: Backend) -> None:
    wrong = folder / "wrong.secret"
    wrong.write_text("wrong\n")
    settings = pair.gate() | {"doveadm_password_file": wrong}
    word = await Gate(GateSettings(**settings), lambda _: None).synced(home, [partner], time())
    assert word == Word(False, "the doveadm API answers with HTTP status 401")


async def test_a_certificate_from_somebody_else_says_no(pair: Pair, home: Backend, partner: Backend) -> None:
    settings = pair.gate() | {"ca_file": None}
    word = await Gate(GateSettings(**settings), lambda _: None).synced(home, [partner], time())
    assert not word.synced
    assert "certificate verify failed" in word.text


async def test_a_hung_partner_looks_caught_up_but_is_not(pair: Pair, home: Backend, partner: Backend) -> None:
    gate = by_doveadm(pair, deadline=3.0)
    since = time()
    assert await says_yes(gate, home, partner, since)
    pair.first.hang()
    try:
        pair.write(pair.second, "user2", "while-hung")
        wait_until(partial(pair.syncing, pair.second), "a synchronisation to begin")
        row = pair.replicator_status(pair.second)["user2"]
        assert (row.priority, row.failed) == ("none", False), "nothing seems to wait"
        word = await gate.synced(home, [partner], since)
        assert word == Word(False, "b: 1 of 5 users are behind, such as user2 (being synchronised)")
    finally:
        pair.first.go_on()
    assert await says_yes(by_doveadm(pair), home, partner, since)
    assert "while-hung" in pair.messages(pair.first, "user2")


async def test_a_hung_partner_gets_no_answer_from_a_command_either(pair: Pair, home: Backend, partner: Backend) -> None:
    pair.first.hang()
    try:
        assert await by_dsync(pair.second, deadline=0.5).synced(home, [partner], time()) == Word(
            False, "no answer within 0.5 s"
        )
    finally:
        pair.first.go_on()


async def test_a_server_that_comes_back_has_not_caught_up_until_it_is_told(
    pair: Pair, home: Backend, partner: Backend
) -> None:
    """Nobody tells the replicator that its partner is back: it would try again after five minutes."""
    gate = by_doveadm(pair, deadline=1.0)
    pair.first.kill()
    pair.write(pair.second, "user3", "while-down")
    wait_until(lambda: pair.replicator_status(pair.second)["user3"].failed, "the replicator to fail")
    assert not (await gate.synced(home, [partner], time())).synced
    pair.first.start()
    wait_until(partial(accepts, pair.first.address, pair.doveadm_port), "doveadm")
    assert await says_yes(by_doveadm(pair), home, partner, time())
    assert "while-down" in pair.messages(pair.first, "user3")


async def test_what_was_expunged_meanwhile_is_gone_when_the_gate_says_yes(
    pair: Pair, home: Backend, partner: Backend
) -> None:
    """An expunge alone is not announced to the replicator."""
    pair.write(pair.second, "user4", "unwanted")
    pair.wait_until_in_sync("user4", at=pair.second)
    assert pair.messages(pair.first, "user4") == {"unwanted"}
    pair.expunge(pair.second, "user4", "unwanted")
    assert await says_yes(by_doveadm(pair), home, partner, time())
    assert pair.messages(pair.first, "user4") == set()


async def test_a_command_brings_over_what_is_missing(pair: Pair, home: Backend, partner: Backend) -> None:
    pair.first.kill()
    pair.write(pair.second, "user0", "by-command")
    gate = by_dsync(pair.second)
    assert not (await gate.synced(home, [partner], time())).synced
    pair.first.start()
    wait_until(partial(accepts, pair.first.address, pair.doveadm_port), "doveadm")
    assert await says_yes(gate, home, partner, time())  # at first the replicator may be at it as well
    assert "by-command" in pair.messages(pair.first, "user0")


async def test_a_user_with_a_session_has_not_left(pair: Pair, home: Backend) -> None:
    gate = by_doveadm(pair, drained_by_who=True)
    with pair.session(pair.first, "user1"):
        assert not await gate.drained("user1", home)
        assert await gate.drained("user2", home)
    wait_until(lambda: "user1" not in pair.first.doveadm("who"), "the session to end")
    assert await gate.drained("user1", home)


def test_the_checker_sees_who_is_on_both_servers(pair: Pair) -> None:
    with pair.session(pair.first, "user1"), pair.session(pair.second, "user1"):
        pass
    pair.second.wait_for_log(r"imap\(user1\).*Disconnected: Logged out(?s:.*)\Z")
    logs = {server.name: server.log() for server in pair.servers}
    assert Witness(logs).overlaps() == []
    assert {overlap.user for overlap in Witness(logs, without_addresses=()).overlaps()} >= {"user1"}

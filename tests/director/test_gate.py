"""The gate says yes only when somebody who knows has said so in time."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from director import Backend
from director.gate import Gate, GateSettings, Word
from director.replicator import FAILURES, STATUS, SYNCS, replicate
from tests.director.doveadm_api import Api
from tests.director.examples import shard
from tests.director.test_replicator import sync, user

SHARD = shard("s1", mb1a=1, mb1b=2, mb1c=3)
HOME, PARTNER, THIRD = SHARD.backends
LOCAL = Backend("mb1b", "127.0.0.1")
REPLICATE = replicate()
CAUGHT_UP = Word(True, "it has caught up")
SINCE = 1_700_000_000.5


def by_command(*command: str, **more: Any) -> Gate:
    return Gate(GateSettings(command=command, **more), {"mb1a": SHARD}.get)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("secret\n")
    return path


def replicator(**changes: Any) -> Api:
    """An API that says that all is well."""
    answers: dict[str, Any] = {
        "replicatorStatus": lambda parameters: [user("ann", success="00:00:00")] if parameters else [],
        "replicatorDsyncStatus": lambda _: [sync()],
        "replicatorReplicate": lambda _: [{"result": "1 users updated"}],
    }
    return Api(**answers | changes)


def by_doveadm(api: Api, secret: Path, **more: Any) -> Gate:
    return Gate(GateSettings(doveadm_url=api.url, doveadm_password_file=secret, **more), lambda _: SHARD)


# --- settings ---


def test_without_settings_nobody_is_asked() -> None:
    settings = GateSettings()
    assert (settings.asks_synced, settings.asks_drained, list(settings.faults())) == (False, False, [])


def test_every_key_is_explained_and_its_default_is_possible() -> None:
    for setting in fields(GateSettings):
        assert setting.metadata["doc"].endswith(".")
        if "min" in setting.metadata:
            assert setting.metadata["min"] <= setting.default <= setting.metadata["max"]


def test_good_settings_have_no_faults(secret: Path) -> None:
    command = GateSettings(command=("check", "{backend}", "{since}"), drained_command=("left", "{user}", "{shard}"))
    url = GateSettings(doveadm_url="https://{host}/", doveadm_password_file=secret, drained_by_who=True)
    for settings in (command, url):
        assert (settings.asks_synced, settings.asks_drained, list(settings.faults())) == (True, True, [])


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ({"command": ("check", "{user}")}, ["command"]),
        ({"command": ("", "{host}")}, ["command"]),
        ({"drained_command": ("left", "{partner}", "{partner}")}, ["drained_command"]),
        ({"doveadm_url": "http://{host}:8080"}, ["doveadm_password_file"]),
        ({"doveadm_url": "ftp://mb1", "doveadm_password_file": Path("x")}, ["doveadm_url", "doveadm_url"]),
        ({"command": ("a",), "doveadm_url": "http://{host}", "doveadm_password_file": Path("x")}, ["command"]),
        ({"drained_by_who": True}, ["drained_by_who"]),
        ({"drained_by_who": True, "drained_command": ("a",)}, ["drained_command", "drained_by_who"]),
    ],
)
def test_settings_say_what_contradicts_itself(settings: dict[str, Any], keys: list[str]) -> None:
    assert [key for key, _ in GateSettings(**settings).faults()] == keys


# --- by a command ---


async def test_a_gate_that_asks_nobody_lets_everybody_pass() -> None:
    gate = Gate(GateSettings(), lambda _: None)
    assert (await gate.synced(HOME, [PARTNER], SINCE)).synced
    assert await gate.drained("ann", HOME)


async def test_exit_code_0_means_that_it_has_caught_up() -> None:
    assert await by_command("true").synced(HOME, [PARTNER], SINCE) == CAUGHT_UP


async def test_any_other_exit_code_means_that_it_has_not() -> None:
    word = await by_command("sh", "-c", "echo 3 users to go; exit 1").synced(HOME, [PARTNER], SINCE)
    assert word == Word(False, "sh ends with 1: 3 users to go")


async def test_a_command_is_told_who_is_meant() -> None:
    command = ("test", "{backend} {host} {partner} {partner_host} {shard} {since}", "=")
    expected = "mb1a mb1a.example mb1b mb1b.example s1 1700000000"
    assert (await by_command(*command, expected).synced(HOME, [PARTNER], SINCE)).synced


async def test_a_command_about_partners_has_to_agree_on_each(tmp_path: Path) -> None:
    gate = by_command("test", "{partner}", "=", "mb1b")
    assert (await gate.synced(HOME, [PARTNER], SINCE)).synced
    assert not (await gate.synced(HOME, [PARTNER, THIRD], SINCE)).synced
    assert (await by_command("test", "{backend}", "=", "mb1a").synced(HOME, [PARTNER, THIRD], SINCE)).synced


async def test_without_a_partner_nobody_knows() -> None:
    assert not (await by_command("true").synced(HOME, [], SINCE)).synced


async def test_a_command_that_takes_too_long_says_no() -> None:
    word = await by_command("sleep", "1000", deadline=0.1).synced(HOME, [PARTNER], SINCE)
    assert word == Word(False, "no answer within 0.1 s")


async def test_a_command_that_cannot_be_run_says_no() -> None:
    word = await by_command("/nowhere/check").synced(HOME, [PARTNER], SINCE)
    assert not word.synced
    assert "cannot be asked" in word.text


async def test_only_so_many_are_asked_at_once(tmp_path: Path) -> None:
    """The second command would fail if it ran beside the first."""
    gate = by_command("sh", "-c", f"mkdir {tmp_path}/alone && rmdir {tmp_path}/alone", parallel=1)
    words = await asyncio.gather(*(gate.synced(home, [PARTNER], SINCE) for home in (HOME, THIRD)))
    assert [word.synced for word in words] == [True, True]


async def test_the_same_question_is_not_asked_twice_at_a_time(tmp_path: Path) -> None:
    gate = by_command("mkdir", f"{tmp_path}/once")
    same = [gate.synced(HOME, [PARTNER], SINCE + jitter) for jitter in (0.0, 0.01, -0.01)]
    assert [word.synced for word in await asyncio.gather(*same)] == [True, True, True]
    assert not (await gate.synced(HOME, [PARTNER], SINCE)).synced


async def test_another_return_is_another_question() -> None:
    gate = by_command("test", "{since}", "=", "1700000000")
    words = await asyncio.gather(*(gate.synced(HOME, [PARTNER], SINCE + later) for later in (0, 60)))
    assert [word.synced for word in words] == [True, False]


async def test_closing_ends_what_is_under_way() -> None:
    gate = by_command("sleep", "1000", deadline=1000.0)
    asked = asyncio.ensure_future(gate.synced(HOME, [PARTNER], SINCE))
    await asyncio.sleep(0)
    await gate.close()
    with pytest.raises(asyncio.CancelledError):
        await asked


# --- by Dovecot ---


async def test_the_partner_is_told_to_synchronise_before_it_is_asked(secret: Path) -> None:
    async with replicator() as api:
        gate = by_doveadm(api, secret)
        assert await gate.synced(HOME, [LOCAL], SINCE) == CAUGHT_UP
        assert api.asked == [REPLICATE, STATUS, SYNCS, FAILURES]


async def test_it_is_told_once_for_each_return(secret: Path) -> None:
    async with replicator() as api:
        gate = by_doveadm(api, secret)
        for since in (SINCE, SINCE + 0.001, SINCE + 100):
            assert (await gate.synced(HOME, [LOCAL], since)).synced
        assert api.asked.count(REPLICATE) == 2


async def test_it_is_told_again_from_time_to_time(secret: Path) -> None:
    async with replicator() as api:
        gate = by_doveadm(api, secret, replicate_every=0.0)
        for _ in range(3):
            assert (await gate.synced(HOME, [LOCAL], SINCE)).synced
        assert api.asked.count(REPLICATE) == 3


async def test_it_is_asked_until_everybody_is_synchronised(secret: Path) -> None:
    priorities = iter(("low", "low", "none"))

    def status(parameters: dict[str, Any]) -> Sequence[Any]:
        return [user("ann", priority=next(priorities), success="00:00:00")] if parameters else []

    async with replicator(replicatorStatus=status) as api:
        assert (await by_doveadm(api, secret).synced(HOME, [LOCAL], SINCE)).synced
        assert api.asked.count(STATUS) == 3


async def test_who_is_stuck_is_given_a_push(secret: Path) -> None:
    failed = {"ann"}

    def status(parameters: dict[str, Any]) -> Sequence[Any]:
        users = [user("ann", failed="y" if failed else "-", success="00:00:00"), user("bob", success="00:00:00")]
        return users if parameters else []

    def order(parameters: dict[str, Any]) -> Sequence[Any]:
        failed.discard(parameters["userMask"])
        return [{"result": "1 users updated"}]

    async with replicator(replicatorStatus=status, replicatorReplicate=order) as api:
        assert (await by_doveadm(api, secret).synced(HOME, [LOCAL], SINCE)).synced
        assert [question for question in api.asked if question[0] == REPLICATE[0]] == [REPLICATE, replicate("ann")]


async def test_who_is_behind_is_told_when_time_runs_out(secret: Path) -> None:
    async with replicator(replicatorDsyncStatus=lambda _: [sync("ann", "Waiting for dsync to finish")]) as api:
        word = await by_doveadm(api, secret, max_lag=0.0, deadline=1.0).synced(HOME, [LOCAL], SINCE)
        assert word == Word(False, "mb1b: 1 of 1 users are behind, such as ann (being synchronised)")


async def test_every_partner_has_to_agree(secret: Path) -> None:
    async with replicator() as api:
        other = Backend("mb1c", "127.0.0.2")
        word = await by_doveadm(api, secret).synced(HOME, [LOCAL, other], SINCE)
        assert not word.synced
        assert word.text.startswith("no answer from 127.0.0.2")


async def test_a_partner_that_does_not_answer_says_no(secret: Path) -> None:
    async with replicator() as api:
        api.silent = True
        word = await by_doveadm(api, secret, deadline=0.1).synced(HOME, [LOCAL], SINCE)
        assert word == Word(False, "no answer within 0.1 s")


async def test_a_partner_without_a_replicator_says_no(secret: Path) -> None:
    async with Api() as api:
        word = await by_doveadm(api, secret).synced(HOME, [LOCAL], SINCE)
        assert word == Word(False, "doveadm has failed: unknownMethod 0")


async def test_a_password_that_cannot_be_read_says_no(tmp_path: Path) -> None:
    async with replicator() as api:
        assert not (await by_doveadm(api, tmp_path / "missing").synced(HOME, [LOCAL], SINCE)).synced
        settings = GateSettings(doveadm_url=api.url)
        assert not (await Gate(settings, lambda _: None).synced(HOME, [LOCAL], SINCE)).synced


# --- drained ---


async def test_a_command_knows_whether_a_user_has_left() -> None:
    gate = Gate(GateSettings(drained_command=("test", "{user}", "=", "ann")), lambda _: None)
    assert await gate.drained("ann", HOME)
    assert not await gate.drained("bob", HOME)


async def test_a_name_that_might_be_misread_has_not_left(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate(GateSettings(drained_command=("echo", "{user}")), lambda _: None)
    assert not await gate.drained("$(reboot)", HOME)
    assert "cannot be given to a command" in caplog.text


async def test_who_is_listed_by_dovecot_has_not_left(secret: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Api(who=lambda _: [{"username": "ann"}]) as api:
        gate = by_doveadm(api, secret, drained_by_who=True)
        assert not await gate.drained("ann", LOCAL)
        assert await gate.drained("bob", LOCAL)
        assert api.asked == [("who", {"mask": ["ann"]}), ("who", {"mask": ["bob"]})]
    assert "has left" not in caplog.text, "that happens all the time"


@pytest.mark.parametrize("name", ["192.0.2.1", "192.0.2.0/24", "2001:db8::1", "an*", "an?"])
async def test_a_name_that_dovecot_takes_for_something_else_is_looked_for_among_all(secret: Path, name: str) -> None:
    async with Api(who=lambda _: [{"username": name}]) as api:
        assert not await by_doveadm(api, secret, drained_by_who=True).drained(name, LOCAL)
        assert api.asked == [("who", {})]


async def test_a_backend_that_does_not_answer_has_not_been_left(secret: Path) -> None:
    async with Api() as api:
        pass
    assert not await by_doveadm(api, secret, drained_by_who=True).drained("ann", LOCAL)

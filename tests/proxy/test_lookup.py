"""What an operator is told about one user, by directory and mirror."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import ldapmap
from ldapmap import Entry, Policy, UnknownUser
from proxy import lookup
from proxy.config import ConfigurationError, load
from proxy.lookup import entry_steps, look_up, policy_steps
from tests.proxy.example import SMALLEST, write_site
from tests.proxy.front import People

ALICE = Entry("alice", "uid=alice,dc=example", "s1", "mb1b", "a.liddell", Policy(disabled="unpaid").write())


def test_a_user_is_shown_step_by_step(tmp_path: Path) -> None:
    shown = look_up(load(write_site(tmp_path)), "Alice+lists")
    steps = dict(shown.steps)
    assert shown.found
    assert steps["search key"] == "alice"
    assert steps["entry"] == "uid=alice,ou=people,dc=example,dc=org"


def test_an_unknown_user_is_told_so(tmp_path: Path) -> None:
    shown = look_up(load(write_site(tmp_path)), "mallory")
    assert not shown.found
    assert dict(shown.steps)["refused"].startswith("UnknownUser")


def test_a_directory_that_cannot_be_opened_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    settings = load(write_site(tmp_path, SMALLEST))
    (tmp_path / "users.ldif").write_text("nonsense\n")
    with pytest.raises(ConfigurationError):
        look_up(settings, "alice")


def test_everything_in_an_entry_is_told() -> None:
    assert list(entry_steps(ALICE)) == [
        ("entry", "uid=alice,dc=example"),
        ("user", "alice"),
        ("value of the shard attribute", "s1"),
        ("preferred backend", "mb1b"),
        ("name at the backend", "a.liddell"),
        ("disabled", "unpaid"),
    ]


def test_every_restriction_is_told() -> None:
    policy = Policy("unpaid", "old", 86400.0, 1e18, (), ("192.0.2.0/24",), True)
    assert list(policy_steps(policy)) == [
        ("disabled", "unpaid"),
        ("open until", "1970-01-02 00:00:00 UTC"),
        ("password expired", "old"),
        ("password good until", "1000000000000000000 s after 1970"),
        ("protocols", "none"),
        ("networks", "192.0.2.0/24"),
        ("password", "judged by the backend alone"),
    ]
    assert list(policy_steps(Policy())) == []


class Mirrored(People):
    """A directory with a mirror that may be behind."""

    def __init__(self, live: Entry | ldapmap.DirectoryError) -> None:
        super().__init__()
        self.live = live
        self.entries["alice"] = ALICE

    async def find(self, login_name: str, *, fresh: bool = False) -> Entry:
        if fresh and isinstance(self.live, Exception):
            raise self.live
        return self.live if fresh and isinstance(self.live, Entry) else ALICE


@pytest.mark.parametrize(
    ("live", "told"),
    [
        (ALICE, [("directory server", "says the same")]),
        (
            ALICE._replace(shard="s2"),
            [
                ("directory server, shard", "'s2' and not 's1'"),
                ("directory server", "differs: the mirror is behind"),
            ],
        ),
        (UnknownUser("none"), [("directory server", "knows nobody of this name: the mirror is behind")]),
        (ldapmap.Unavailable("all are away"), [("directory server", "Unavailable: all are away")]),
    ],
)
def test_where_mirror_and_server_differ_is_told(
    live: Entry | ldapmap.DirectoryError, told: list[tuple[str, str]]
) -> None:
    witness = lookup._Witness()
    witness.answered("mirror")
    found, steps = asyncio.run(lookup._ask(Mirrored(live), "alice", witness, Path("mirror")))
    assert found
    assert list(steps[-len(told) :]) == told
    assert steps[0] == ("found in", "the mirror")

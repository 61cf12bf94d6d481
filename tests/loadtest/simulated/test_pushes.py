"""Mail that arrives while clients wait."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.content import first_recipes
from loadtest.host import Host
from loadtest.mailbox import MAX_MESSAGES, Mailbox, Mailboxes
from loadtest.simulated import pushes
from loadtest.simulated.pushes import Owed, Pushes, push


@given(st.floats(0, 1), st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 0.9)), max_size=50))
def test_in_the_end_as_many_come_as_the_rate_says(rate: float, rounds: list[tuple[int, float]]) -> None:
    owed = Owed(rate)
    due = [owed.due(sessions, seconds) for sessions, seconds in rounds]
    expected = sum(rate * sessions * seconds for sessions, seconds in rounds)
    assert expected - 1.001 <= sum(due) <= expected + 0.001 or any(
        count == sessions for count, (sessions, _) in zip(due, rounds, strict=True)
    )


def test_after_a_long_pause_everybody_gets_one_and_no_more() -> None:
    assert Owed(5.0).due(10, 3600.0) == 10


def idling(host: Host, *users: str) -> dict[str, Mailbox]:
    """The mailboxes of users who idle."""
    found = {}
    for user in users:
        mailbox = host.admit("imap", user)
        assert mailbox is not None
        host.listen(lambda _user=user: None, user, mailbox)  # type: ignore[misc]
        found[user] = mailbox
    return found


def test_all_get_their_turn() -> None:
    host = Host("mb1a", mailboxes=Mailboxes(first_recipes))
    mailboxes = idling(host, "user0000001", "user0000002", "user0000003")
    before = {user: len(mailbox.messages) for user, mailbox in mailboxes.items()}

    def got() -> list[int]:
        return [len(mailbox.messages) - before[user] for user, mailbox in mailboxes.items()]

    push(host, 2)
    assert got() == [1, 1, 0]
    push(host, 2)
    assert got() == [2, 1, 1]
    push(host, 100)
    assert got() == [3, 2, 2]


def test_nobody_idles_and_nothing_comes() -> None:
    push(Host("mb1a"), 5)


def test_a_full_mailbox_keeps_nobody_else_waiting() -> None:
    host = Host("mb1a", mailboxes=Mailboxes(first_recipes))
    mailboxes = idling(host, "user0000001", "user0000002")
    while mailboxes["user0000001"].push("user0000001", 0.0):
        pass
    push(host, 2)
    assert len(mailboxes["user0000001"].messages) == MAX_MESSAGES
    assert len(mailboxes["user0000002"].messages) == len(first_recipes("user0000002")) + 1


async def test_mail_goes_on_arriving_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "PACE", 0.001)
    host = Host("mb1a", mailboxes=Mailboxes(first_recipes))
    arrived = asyncio.Event()
    mailbox = host.admit("imap", "user0000001")
    assert mailbox is not None
    host.listen(arrived.set, "user0000001", mailbox)
    async with Pushes([host], 1000.0):
        for _ in range(3):
            await arrived.wait()
            arrived.clear()
    count = len(mailbox.messages)
    assert count >= len(first_recipes("user0000001")) + 3
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(mailbox.messages) == count

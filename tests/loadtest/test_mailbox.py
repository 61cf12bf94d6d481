"""Mailboxes of a simulated backend."""

from __future__ import annotations

from datetime import UTC, datetime

from loadtest.mailbox import Mailboxes, Message


def test_a_known_user_finds_a_welcome_message_that_names_user_and_backend() -> None:
    mailbox = Mailboxes("mb1a", ["alice"]).open("alice")
    assert mailbox is not None
    (message,) = mailbox.messages
    assert b"Subject: Welcome to mb1a\r\n" in message.header
    assert message.text.startswith(b"Hello alice,\r\n")
    assert message.header + message.text == message.data
    assert mailbox.uid_next == 2


def test_a_stranger_has_no_mailbox_when_users_are_listed_and_one_otherwise() -> None:
    assert Mailboxes("mb1a", ["alice"]).open("bob") is None
    assert Mailboxes("mb1a").open("") is None
    assert Mailboxes("mb1a").open("bob") is not None


def test_what_is_changed_stays_changed() -> None:
    mailboxes = Mailboxes("mb1a")
    mailbox = mailboxes.open("alice")
    assert mailbox is not None
    mailbox.messages[0].flags.add(r"\Seen")
    again = mailboxes.open("alice")
    assert again is mailbox
    assert again.count(r"\Seen") == 1
    again.remove({1})
    assert (again.messages, again.uid_next) == ([], 1)


def test_only_so_many_mailboxes_are_kept() -> None:
    mailboxes = Mailboxes("mb1a", most=2)
    first = mailboxes.open("a")
    for user in ("b", "a", "c"):
        mailboxes.open(user)
    assert len(mailboxes) == 2
    assert mailboxes.open("a") is first


def test_a_name_with_line_ends_cannot_add_to_the_header() -> None:
    mailbox = Mailboxes("mb1a").open("eve\r\nX-Evil: yes")
    assert mailbox is not None
    assert b"\r\nX-Evil" not in mailbox.messages[0].data


def test_a_message_without_a_body_is_all_header() -> None:
    message = Message(1, b"Subject: x\r\n", datetime.now(UTC))
    assert (message.header, message.text) == (b"Subject: x\r\n", b"")

"""Mailboxes of a simulated backend."""

from __future__ import annotations

from datetime import UTC, datetime

from loadtest.content import PUSHED, Recipe, certify, compose, first_mail, first_recipes
from loadtest.mailbox import MAX_KEPT, MAX_MESSAGES, PUSH, Mailbox, Mailboxes, Message, welcome


def test_a_known_user_finds_a_welcome_message_that_names_user_and_backend() -> None:
    mailbox = Mailboxes(welcome("mb1a"), ["alice"]).open("alice")
    assert mailbox is not None
    (message,) = mailbox.messages
    assert b"Subject: Welcome to mb1a\r\n" in message.header
    assert message.text.startswith(b"Hello alice,\r\n")
    assert message.header + message.text == message.data
    assert mailbox.uid_next == 2


def test_a_stranger_has_no_mailbox_when_users_are_listed_and_one_otherwise() -> None:
    assert Mailboxes(welcome("mb1a"), ["alice"]).open("bob") is None
    assert Mailboxes(welcome("mb1a")).open("") is None
    assert Mailboxes(welcome("mb1a")).open("bob") is not None


def test_what_is_changed_stays_changed() -> None:
    mailboxes = Mailboxes(welcome("mb1a"))
    mailbox = mailboxes.open("alice")
    assert mailbox is not None
    mailbox.messages[0].flags = {r"\Seen"}
    again = mailboxes.open("alice")
    assert again is mailbox
    assert again.count(r"\Seen") == 1
    again.remove({1})
    assert (again.messages, again.uid_next) == ([], 2)


def test_only_so_many_mailboxes_are_kept() -> None:
    mailboxes = Mailboxes(welcome("mb1a"), most=2)
    first = mailboxes.open("a")
    for user in ("b", "a", "c"):
        mailboxes.open(user)
    assert len(mailboxes) == 2
    assert mailboxes.open("a") is first


def test_a_name_with_line_ends_cannot_add_to_the_header() -> None:
    mailbox = Mailboxes(welcome("mb1a")).open("eve\r\nX-Evil: yes")
    assert mailbox is not None
    assert b"\r\nX-Evil" not in mailbox.messages[0].data


def test_a_message_without_a_body_is_all_header() -> None:
    message = Message(1, b"Subject: x\r\n", datetime.now(UTC))
    assert (message.header, message.text) == (b"Subject: x\r\n", b"")


def test_the_first_mail_is_kept_as_recipes_and_read_as_messages() -> None:
    mailbox = Mailboxes(first_recipes).open("user0000042")
    assert mailbox is not None
    assert [message.data for message in mailbox.messages] == first_mail("user0000042")
    assert [message.size for message in mailbox.messages] == [len(message.data) for message in mailbox.messages]
    assert mailbox.uid_next == len(mailbox.messages) + 1


def test_what_is_delivered_gets_uids_that_are_never_used_again() -> None:
    mailbox = Mailbox()
    uids = []
    for _ in range(3):
        message = mailbox.deliver(b"Subject: x\r\n\r\n", {r"\Seen"})
        assert message is not None
        uids.append(message.uid)
        mailbox.remove({message.uid})
    assert uids == [1, 2, 3]


def test_a_message_of_the_load_test_is_kept_as_its_recipe_whoever_brings_it() -> None:
    mailbox = Mailbox()
    raw = compose("user0000001", 3, 5000, 17.25)
    for delivered in (raw, Recipe("user0000001", 3, 5000, 17.25)):
        message = mailbox.deliver(delivered)
        assert message is not None
        assert isinstance(message.source, Recipe)
        assert (message.data, message.size) == (raw, 5000)
    altered = raw.replace(b"MIME", b"mime")
    message = mailbox.deliver(altered)
    assert message is not None
    assert message.data == altered


def test_a_push_certifies_itself_and_tells_when_it_was_sent() -> None:
    mailbox = Mailbox()
    message = mailbox.push("user0000001", 99.5)
    assert message is not None
    certificate = certify(message.data)
    assert certificate is not None
    assert certificate.intact
    assert (certificate.user, certificate.serial, certificate.sent) == ("user0000001", PUSHED + 1, 99.5)
    assert len(message.data) == message.size == PUSH


def test_a_full_mailbox_takes_nothing_more() -> None:
    mailbox = Mailbox()
    assert mailbox.deliver(bytes(MAX_KEPT)) is not None
    assert mailbox.deliver(b"x") is None
    while mailbox.push("user0000001", 0.0):
        pass
    assert len(mailbox.messages) == MAX_MESSAGES


def test_whoever_watches_is_called_for_every_change() -> None:
    mailbox, revisions = Mailbox(), list[int]()
    mailbox.watchers.append(lambda: revisions.append(mailbox.revision))
    mailbox.push("user0000001", 0.0)
    mailbox.remove({7})
    mailbox.remove({1})
    assert revisions == [1, 2]

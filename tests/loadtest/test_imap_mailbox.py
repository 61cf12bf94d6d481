"""Conversations about messages in an open mailbox of the simulated IMAP server."""

from __future__ import annotations

import pytest

from loadtest.host import Host
from loadtest.imap_mailbox import OpenMailbox
from loadtest.imap_server import ImapServer
from loadtest.mailbox import Mailbox
from proxy.protocols.memory import MemoryWire, run

from .conversations import play


def conversation(*lines: str, command: str = "SELECT") -> list[str]:
    """What is said after the mailbox has been opened."""
    said = play(ImapServer, Host("mb1a"), "a LOGIN alice x", f"o {command} INBOX", *lines)
    return said[said.index(f"o OK [READ-{'WRITE' if command == 'SELECT' else 'ONLY'}] Opened.") + 1 :]


def test_fetching_tells_the_items_asked_for() -> None:
    assert conversation("b FETCH 1 (FLAGS UID)", "c UID FETCH 1:* FLAGS", "d FETCH 2 UID") == [
        "* 1 FETCH (FLAGS () UID 1)",
        "b OK Fetched.",
        "* 1 FETCH (UID 1 FLAGS ())",
        "c OK Fetched.",
        "d OK Fetched.",
    ]


def test_reading_marks_as_seen_unless_the_mailbox_is_read_only() -> None:
    lines = ["b FETCH 1 BODY[1.MIME]", "c FETCH 1 FLAGS"]
    assert conversation(*lines)[-2] == r"* 1 FETCH (FLAGS (\Seen))"
    assert conversation(*lines, command="EXAMINE")[-2] == "* 1 FETCH (FLAGS ())"


def test_flags_are_set_added_and_removed() -> None:
    assert conversation(
        r"b STORE 1 FLAGS (\Seen \Draft $Unknown)",
        r"c UID STORE 1 -FLAGS \Draft",
        r"d STORE 1 +FLAGS.SILENT (\Flagged)",
        "e SEARCH SEEN FLAGGED",
        "f UID SEARCH UNSEEN",
    ) == [
        r"* 1 FETCH (FLAGS (\Draft \Seen))",
        "b OK Stored.",
        r"* 1 FETCH (UID 1 FLAGS (\Seen))",
        "c OK Stored.",
        "d OK Stored.",
        "* SEARCH 1",
        "e OK Searched.",
        "* SEARCH",
        "f OK Searched.",
    ]


def test_deleted_messages_go_at_expunge_and_at_close() -> None:
    deleted = r"b STORE 1 +FLAGS.SILENT \Deleted"
    assert conversation(deleted, "c EXPUNGE")[1:] == ["* 1 EXPUNGE", "c OK Expunged."]
    assert "* 0 EXISTS" in conversation(deleted, "c CLOSE", "d SELECT INBOX", "e FETCH 1:* UID")


def test_a_mailbox_that_is_read_only_stays_as_it_is() -> None:
    refused = "NO The mailbox was opened to be read only."
    said = conversation(r"b STORE 1 +FLAGS \Deleted", "c EXPUNGE", "d CLOSE", command="EXAMINE")
    assert said == [f"b {refused}", f"c {refused}", "d OK Closed."]


@pytest.mark.parametrize("line", ["b FETCH 1", "b FETCH 1 NONSENSE", "b STORE 1 FLAGS", r"b STORE 1 =FLAGS \Seen"])
def test_an_incomplete_command_is_refused(line: str) -> None:
    assert conversation(line) == ["b BAD Syntax error."]


def test_uid_needs_a_command_it_knows() -> None:
    assert conversation("b UID", "c UID COPY 1 x") == [f"{tag} BAD Unknown command, or not now." for tag in "bc"]


def test_only_deleted_messages_of_the_uids_asked_for_go_at_uid_expunge() -> None:
    deleted = r"b STORE 1 +FLAGS.SILENT \Deleted"
    assert conversation(deleted, "c UID EXPUNGE 2:3", "d UID EXPUNGE 1:*")[1:] == [
        "c OK Expunged.",
        "* 1 EXPUNGE",
        "d OK Expunged.",
    ]
    assert conversation("b UID EXPUNGE", "c EXPUNGE 1") == ["b BAD Syntax error.", "c BAD Syntax error."]


def test_a_session_keeps_its_numbers_until_it_is_told() -> None:
    mailbox = Mailbox()
    for _ in range(3):
        mailbox.push("user0000001", 0.0)
    opened = OpenMailbox(MemoryWire([]), mailbox, read_only=False)
    assert opened.news() == b""
    mailbox.remove({1, 3})
    mailbox.push("user0000001", 0.0)
    assert run(opened.command("FETCH", [b"3", b"UID"])) == "OK Fetched."
    assert opened.news() == b"* 3 EXPUNGE\r\n* 1 EXPUNGE\r\n* 2 EXISTS\r\n"
    assert opened.news() == b""

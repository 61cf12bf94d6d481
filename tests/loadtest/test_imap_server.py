"""Conversations with the simulated IMAP server."""

from __future__ import annotations

import base64

import pytest

from loadtest.host import Host, Login
from loadtest.imap_server import ImapServer

from .conversations import TLS, play


def conversation(*lines: str, starttls: bool = False, host: Host | None = None) -> list[str]:
    return play(ImapServer, host or Host("mb1a", ["alice"], starttls=starttls), *lines)


def test_a_client_looks_around() -> None:
    assert conversation(
        "a LOGIN alice secret",
        'b LIST "" ""',
        'c LIST "" "*"',
        'd LIST "" Sent%',
        "e NAMESPACE",
        "f STATUS INBOX (MESSAGES UNSEEN NONSENSE)",
        "g NOOP",
        "h LOGOUT",
    ) == [
        "* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID IDLE AUTH=PLAIN] mb1a ready.",
        "a OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID IDLE NAMESPACE UNSELECT] Logged in.",
        r'* LIST (\Noselect) "/" ""',
        "b OK Listed.",
        r'* LIST (\HasNoChildren) "/" INBOX',
        "c OK Listed.",
        "d OK Listed.",
        '* NAMESPACE (("" "/")) NIL NIL',
        "e OK Namespaces told.",
        "* STATUS INBOX (MESSAGES 1 UNSEEN 1)",
        "f OK Status told.",
        "g OK Done.",
        "* BYE See you.",
        "h OK Bye.",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["a LOGIN alice secret"],
        ["a LOGIN {5+}", 'alice "any"'],
        ["a AUTHENTICATE PLAIN " + base64.b64encode(b"\0alice\0any").decode()],
        ["a AUTHENTICATE PLAIN", base64.b64encode(b"alice\0master\0any").decode()],
    ],
)
def test_a_known_user_is_logged_in_whatever_the_password(lines: list[str]) -> None:
    host = Host("mb1a", ["alice"])
    said = conversation('i ID ("x-originating-ip" "192.0.2.1")', *lines, host=host)
    assert said[-1].startswith("a OK [CAPABILITY ")
    assert said[1:3] == ['* ID ("name" "mb1a")', "i OK ID told."]
    assert list(host.logins) == [Login("imap", "alice", "192.0.2.1")]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("a LOGIN bob secret", "a NO [AUTHENTICATIONFAILED] Nobody of that name."),
        ("a LOGIN bob", "a BAD Syntax error."),
        ("a LOGIN (", "a BAD Syntax error."),
        ("", "* BAD Syntax error."),
        ("()", "* BAD Syntax error."),
        ("a", "a BAD A command is needed behind the tag."),
        ("a AUTHENTICATE CRAM-MD5", "a NO Unknown mechanism."),
        ("a AUTHENTICATE PLAIN !", "a BAD Malformed response."),
        ("a AUTHENTICATE PLAIN =", "a BAD Malformed response."),
        ("a SELECT INBOX", "a BAD Unknown command, or not now."),
        ("a STARTTLS", "a BAD No TLS."),
        ("a NOOP\n", "* BAD Lines end in CR LF."),
    ],
)
def test_what_cannot_be_done_is_refused(line: str, answer: str) -> None:
    assert conversation(line)[1] == answer


def test_starttls_is_offered_until_it_is_used() -> None:
    said = conversation("a STARTTLS", TLS, "b CAPABILITY", "c STARTTLS", starttls=True)
    assert " STARTTLS AUTH=PLAIN]" in said[0]
    assert said[1:] == [
        "a OK Begin TLS.",
        "* CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID IDLE AUTH=PLAIN",
        "b OK Capabilities told.",
        "c BAD No TLS.",
    ]


def test_a_mailbox_is_opened_and_closed() -> None:
    said = conversation(
        "a LOGIN alice x",
        "b EXAMINE inbox",
        "c CLOSE",
        "d SELECT INBOX",
        "e UNSELECT",
        "f SELECT Sent",
        "g FETCH 1 UID",
    )
    assert said[2:9] == [
        r"* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)",
        "* OK [PERMANENTFLAGS ()] Flags that stay.",
        "* 1 EXISTS",
        "* 0 RECENT",
        "* OK [UIDVALIDITY 1] UIDs are valid.",
        "* OK [UIDNEXT 2] The next UID.",
        "b OK [READ-ONLY] Opened.",
    ]
    assert said[9] == "c OK Closed."
    assert said[-4:] == [
        "d OK [READ-WRITE] Opened.",
        "e OK Closed.",
        "f NO [NONEXISTENT] No such mailbox.",
        "g BAD Unknown command, or not now.",
    ]


def test_what_is_not_open_is_not_closed() -> None:
    said = conversation("a LOGIN alice x", "b CLOSE", "c UNSELECT")
    assert said[2:] == [f"{tag} BAD Unknown command, or not now." for tag in "bc"]


def test_idle_ends_with_done() -> None:
    assert conversation("a LOGIN alice x", "b IDLE", "done", "c IDLE", "x")[2:] == [
        "+ idling",
        "b OK Idled.",
        "+ idling",
        "c BAD DONE was expected.",
    ]


def test_new_mailboxes_and_messages_are_refused() -> None:
    said = conversation("a LOGIN alice x", "b CREATE Sent", "c STATUS Sent (MESSAGES)", "d STATUS INBOX")
    assert said[2:] == [
        "b NO [CANNOT] This is a simulated server.",
        "c NO [NONEXISTENT] No such mailbox.",
        "d NO [NONEXISTENT] No such mailbox.",
    ]

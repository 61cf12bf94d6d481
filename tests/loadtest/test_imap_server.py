"""Conversations with the simulated IMAP server."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress

import pytest

from loadtest.content import certify, compose, first_recipes
from loadtest.host import Host, Login
from loadtest.imap_server import ImapServer
from loadtest.mailbox import MAX_MESSAGES, Mailboxes
from proxy.protocols.memory import run
from proxy.protocols.wire import EndOfStream

from .conversations import TLS, TellingMemoryWire, play


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
        "a OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID IDLE NAMESPACE UNSELECT UIDPLUS] Logged in.",
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


def certified() -> Host:
    return Host("mb1a", mailboxes=Mailboxes(first_recipes))


def literal(message: bytes, plus: str = "") -> str:
    return f"{{{len(message)}{plus}}}\r\n{message.decode()}"


@pytest.mark.parametrize("plus", ["", "+"])
def test_a_message_is_appended_told_and_fetched_as_it_was(plus: str) -> None:
    message, first = compose("user0000001", 7, 900, 12.5), len(first_recipes("user0000001"))
    said = conversation(
        "a LOGIN user0000001 x",
        "b SELECT INBOX",
        rf'c APPEND INBOX (\Flagged $x) "02-Jan-2026 03:04:05 +0100" {literal(message, plus)}',
        f"d FETCH {first + 1} (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])",
        host=certified(),
    )
    after = said.index("b OK [READ-WRITE] Opened.") + 1
    told = [f"* {first + 1} EXISTS", f"c OK [APPENDUID 1 {first + 1}] Stored."]
    assert said[after:][: len(told) + (not plus)] == ([] if plus else ["+ OK"]) + told
    assert (
        r'FLAGS (\Flagged) INTERNALDATE "02-Jan-2026 02:04:05 +0000" RFC822.SIZE 900 BODY[] {900}'
        in said[said.index(told[-1]) + 1]
    )
    assert "\r\n".join(said).encode().find(message) > 0


def test_a_mailbox_needs_no_opening_to_take_a_message() -> None:
    host = certified()
    message = b"Subject: mine\r\n\r\nNot of the load test.\r\n"
    said = conversation("a LOGIN user0000001 x", f"b APPEND INBOX {literal(message, '+')}", host=host)
    mailbox = host.mailboxes.open("user0000001")
    assert mailbox is not None
    assert mailbox.messages[-1].data == message
    assert said[-1] == f"b OK [APPENDUID 1 {mailbox.messages[-1].uid}] Stored."


def test_what_cannot_be_appended_is_refused() -> None:
    host = certified()
    said = conversation(
        "a LOGIN user0000001 x", "b APPEND Sent {1+}\r\nx", "c APPEND INBOX", "d APPEND INBOX ()", host=host
    )
    assert said[2:] == ["b NO [TRYCREATE] No such mailbox.", "c BAD Syntax error.", "d BAD Syntax error."]
    mailbox = host.mailboxes.open("user0000001")
    assert mailbox is not None
    while mailbox.push("user0000001", 0.0):
        pass
    assert len(mailbox.messages) == MAX_MESSAGES
    assert conversation("a LOGIN user0000001 x", "b APPEND INBOX {1+}\r\nx", host=host)[-1] == (
        "b NO [OVERQUOTA] The mailbox is full."
    )


class Watching(TellingMemoryWire):
    """A client's wire on which something happens when the client has said a certain line."""

    def __init__(self, lines: list[str], happens: Mapping[bytes, Callable[[], object]]) -> None:
        super().__init__([f"{line}\r\n".encode() for line in lines])
        self._happens = happens

    async def line(self, limit: int) -> bytes:
        happens = self._happens.get(b"".join(self.sent).split(b"\r\n")[-2], lambda: None)
        happens()
        return await super().line(limit)


def watched(host: Host, lines: list[str], happens: Mapping[bytes, Callable[[], object]]) -> list[str]:
    """What is said after the mailbox has been opened."""
    wire = Watching(["a LOGIN user0000001 x", "b SELECT INBOX", *lines], happens)
    with suppress(EndOfStream):
        run(ImapServer(wire, host).serve())
    said = b"".join(wire.sent).decode().split("\r\n")[:-1]
    return said[said.index("b OK [READ-WRITE] Opened.") + 1 :]


def test_an_idling_client_hears_at_once_what_arrives_and_what_goes() -> None:
    host = certified()
    mailbox = host.mailboxes.open("user0000001")
    assert mailbox is not None
    count = len(mailbox.messages)
    happens = {
        b"+ idling": lambda: mailbox.push("user0000001", 0.0),
        b"d OK Done.": lambda: mailbox.remove({1, mailbox.uid_next - 1}),
    }
    said = watched(host, ["c IDLE", "DONE", "d NOOP", "e IDLE", "DONE"], happens)
    gone = [f"* {count + 1} EXPUNGE", "* 1 EXPUNGE"]
    assert said[:4] == ["+ idling", f"* {count + 1} EXISTS", "c OK Idled.", "d OK Done."]
    assert said[4:] == ["+ idling", *gone, "e OK Idled."]


def test_a_command_tells_what_has_arrived_meanwhile() -> None:
    host = certified()
    mailbox = host.mailboxes.open("user0000001")
    assert mailbox is not None
    count = len(mailbox.messages)
    said = watched(
        host,
        ["c NOOP", "d FETCH 1 UID", "e NOOP"],
        {
            b"b OK [READ-WRITE] Opened.": lambda: mailbox.push("user0000001", 1.5),
            b"c OK Done.": lambda: mailbox.remove({1}),
        },
    )
    assert said == [
        f"* {count + 1} EXISTS",
        "c OK Done.",
        "* 1 FETCH (UID 1)",
        "d OK Fetched.",
        "* 1 EXPUNGE",
        "e OK Done.",
    ]
    certificate = certify(mailbox.messages[-1].data)
    assert certificate is not None
    assert (certificate.user, certificate.sent, certificate.intact) == ("user0000001", 1.5, True)


def test_whoever_idles_hears_nothing_while_behind_and_everything_later() -> None:
    host = certified()
    mailbox = host.mailboxes.open("user0000001")
    assert mailbox is not None
    count = len(mailbox.messages)
    wire = Watching(
        ["a LOGIN user0000001 x", "b SELECT INBOX", "c IDLE", "DONE"],
        {b"+ idling": lambda: mailbox.push("user0000001", 1.5)},
    )
    wire.behind = True
    with suppress(EndOfStream):
        run(ImapServer(wire, host).serve())
    assert b"".join(wire.sent).endswith(b"+ idling\r\n* %d EXISTS\r\nc OK Idled.\r\n" % (count + 1))
    assert not host.idling
    assert not mailbox.watchers


def test_sessions_are_told_of_when_they_begin_and_when_they_end() -> None:
    seen: list[tuple[str, str, bool]] = []
    host = Host("mb1a", ["alice"], watch=lambda *session: seen.append(session))
    conversation("a LOGIN bob x", host=host)
    conversation("a LOGIN alice x", "b LOGOUT", host=host)
    conversation("a LOGIN alice x", host=host)
    assert seen == [("imap", "alice", True), ("imap", "alice", False)] * 2

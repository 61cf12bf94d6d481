"""Conversations with the simulated POP3 server."""

from __future__ import annotations

import base64

import pytest

from loadtest.content import first_mail, first_recipes
from loadtest.host import Host, Login
from loadtest.mailbox import Mailboxes
from loadtest.pop3_server import Pop3Server

from .conversations import TLS, play


def conversation(*lines: str, host: Host | None = None) -> list[str]:
    """What is said after the greeting."""
    said = play(Pop3Server, host or Host("mb1a", ["alice"]), *lines)
    assert said[0] == "+OK [XCLIENT] mb1a ready."
    return said[1:]


def test_a_client_fetches_the_welcome_message_and_deletes_it() -> None:
    host = Host("mb1a", ["alice"])
    said = conversation(
        "USER alice", "PASS any", "STAT", "LIST", "UIDL 1", "RETR 1", "DELE 1", "STAT", "QUIT", host=host
    )
    size = said[2].split()[2]
    assert said[:7] == ["+OK", "+OK Logged in.", f"+OK 1 {size}", "+OK Messages", f"1 {size}", ".", "+OK 1 uid-1"]
    assert said[7] == f"+OK {size} octets"
    assert "Subject: Welcome to mb1a" in said
    assert said[-4:] == [".", "+OK Deleted.", "+OK 0 0", "+OK Bye."]
    assert conversation("USER alice", "PASS any", "STAT", host=host)[-1] == "+OK 0 0"


def test_only_quitting_deletes() -> None:
    host = Host("mb1a")
    login = ("USER alice", "PASS any")
    assert conversation(*login, "DELE 1", "DELE 1", "RSET", "STAT", host=host)[3] == "-ERR No such message."
    assert conversation(*login, "STAT", host=host)[-1] != "+OK 0 0"


def test_lines_that_begin_with_a_dot_are_stuffed_and_top_is_cut() -> None:
    host = Host("mb1a")
    mailbox = host.mailboxes.open("alice")
    assert mailbox is not None
    mailbox.messages[0].source = b"Subject: x\r\n\r\n.\r\n..b\r\nc\r\n"
    said = conversation("USER alice", "PASS any", "RETR 1", "TOP 1 1", "TOP 1", host=host)
    assert said[2:] == [
        "+OK 25 octets",
        *("Subject: x", "", "..", "...b", "c", "."),
        *("+OK 17 octets", "Subject: x", "", "..", "."),
        *("+OK 14 octets", "Subject: x", "", "."),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["AUTH PLAIN " + base64.b64encode(b"\0alice\0any").decode()],
        ["AUTH PLAIN", base64.b64encode(b"alice\0master\0any").decode()],
    ],
)
def test_sasl_plain_logs_in(lines: list[str]) -> None:
    host = Host("mb1a", ["alice"])
    said = conversation("XCLIENT ADDR=192.0.2.1 PORT=7", *lines, host=host)
    assert (said[0], said[-1]) == ("+OK Updated", "+OK Logged in.")
    assert list(host.logins) == [Login("pop3", "alice", "192.0.2.1")]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("AUTH CRAM-MD5", "-ERR Unknown mechanism."),
        ("AUTH PLAIN !", "-ERR Malformed response."),
        ("AUTH PLAIN =", "-ERR Malformed response."),
        ("PASS any", "-ERR [AUTH] Nobody of that name."),
        ("STAT", "-ERR Unknown command, or not now."),
        ("STLS", "-ERR No TLS."),
        ("NOOP\n", "-ERR Lines end in CR LF."),
    ],
)
def test_what_cannot_be_done_is_refused(line: str, answer: str) -> None:
    assert conversation(line)[0] == answer


def test_numbers_of_no_message_are_refused() -> None:
    said = conversation("USER alice", "PASS any", "RETR 2", "LIST x", "TOP 99999999999 1", "USER alice")
    assert said[2:5] == ["-ERR No such message."] * 3
    assert said[5] == "-ERR Unknown command, or not now."


def test_stls_is_offered_until_it_is_used() -> None:
    host = Host("mb1a", starttls=True)
    said = conversation("CAPA", "STLS", TLS, "CAPA", "NOOP", "QUIT", host=host)
    assert said.count("STLS") == 1
    assert said.count("IMPLEMENTATION mb1a") == 2
    assert said[-2:] == ["+OK", "+OK Bye."]


def test_sessions_are_told_of_when_they_begin_and_when_they_end() -> None:
    seen: list[tuple[str, str, bool]] = []
    host = Host("mb1a", ["alice"], watch=lambda *session: seen.append(session))
    conversation("USER bob", "PASS x", host=host)
    conversation("USER alice", "PASS x", "USER bob", host=host)
    assert seen == [("pop3", "alice", True), ("pop3", "alice", False)]


def test_mail_that_certifies_itself_comes_as_it_is() -> None:
    host = Host("mb1a", mailboxes=Mailboxes(first_recipes))
    for number, message in enumerate(first_mail("user0000003"), 1):
        said = conversation("USER user0000003", "PASS x", f"RETR {number}", host=host)
        start = said.index(f"+OK {len(message)} octets") + 1
        lines = [line.removeprefix(".") for line in said[start:-1]]
        assert "\r\n".join([*lines, ""]).encode() == message

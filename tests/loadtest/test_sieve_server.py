"""Conversations with the simulated ManageSieve server."""

from __future__ import annotations

import base64

import pytest

from loadtest.host import Host, Login
from loadtest.mailbox import MAX_SCRIPTS
from loadtest.sieve_server import SieveServer

from .conversations import TLS, play

GREETING = [
    '"IMPLEMENTATION" "mb1a"',
    '"SASL" "PLAIN"',
    '"SIEVE" "fileinto reject vacation"',
    '"VERSION" "1.0"',
    '"XCLIENT"',
    'OK "mb1a ready."',
]
LOGIN = 'AUTHENTICATE "PLAIN" "' + base64.b64encode(b"\0alice\0any").decode() + '"'


def conversation(*lines: str, host: Host | None = None) -> list[str]:
    """What is said after the greeting."""
    said = play(SieveServer, host or Host("mb1a", ["alice"]), *lines)
    assert said[: len(GREETING)] == GREETING
    return said[len(GREETING) :]


def test_scripts_are_kept_listed_and_given_back() -> None:
    assert conversation(
        LOGIN,
        'PUTSCRIPT "one" {5+}',
        "keep;",
        'PUTSCRIPT "two" "discard;"',
        'SETACTIVE "two"',
        "LISTSCRIPTS",
        'GETSCRIPT "one"',
        'DELETESCRIPT "two"',
        'SETACTIVE ""',
        'DELETESCRIPT "two"',
        'DELETESCRIPT "two"',
        'SETACTIVE "two"',
        'GETSCRIPT "two"',
        'HAVESPACE "x" 100',
        'NOOP "a\\"b"',
        "LOGOUT",
    ) == [
        'OK "Logged in."',
        'OK "Stored."',
        'OK "Stored."',
        'OK "Activated."',
        '"one"',
        '"two" ACTIVE',
        'OK "Done."',
        *("{5}", "keep;", 'OK "Done."'),
        'NO (ACTIVE) "The script is active."',
        'OK "No script is active."',
        'OK "Deleted."',
        *['NO (NONEXISTENT) "No such script."'] * 3,
        'OK "Done."',
        'OK (TAG "a\\"b") "Done."',
        'OK "Bye."',
    ]


@pytest.mark.parametrize(
    "lines", [[LOGIN], ['AUTHENTICATE "PLAIN"', '"' + base64.b64encode(b"alice\0master\0any").decode() + '"']]
)
def test_sasl_plain_logs_in(lines: list[str]) -> None:
    host = Host("mb1a", ["alice"])
    assert conversation("XCLIENT ADDR=192.0.2.1", *lines, host=host)[-1] == 'OK "Logged in."'
    assert list(host.logins) == [Login("managesieve", "alice", "192.0.2.1")]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ('AUTHENTICATE "PLAIN" "' + base64.b64encode(b"\0bob\0any").decode() + '"', 'NO "Nobody of that name."'),
        ('AUTHENTICATE "PLAIN" "!"', 'NO "Malformed response."'),
        ('AUTHENTICATE "CRAM-MD5"', 'NO "Unknown mechanism."'),
        ("AUTHENTICATE", 'NO "Unknown mechanism."'),
        ("LISTSCRIPTS", 'NO "Unknown command, or not now."'),
        ("STARTTLS", 'NO "No TLS."'),
        ('"open', 'NO "Bad command."'),
        ("NOOP\n", 'NO "Bad command."'),
    ],
)
def test_what_cannot_be_done_is_refused(line: str, answer: str) -> None:
    assert conversation(line)[0] == answer


def test_a_script_needs_a_name_that_can_be_shown() -> None:
    said = conversation(LOGIN, "PUTSCRIPT {3+}", 'a\r "x"', 'PUTSCRIPT "x"')
    assert said[1:] == ['NO "PUTSCRIPT takes a name and a script."'] * 2


def test_only_so_many_scripts_are_kept() -> None:
    said = conversation(LOGIN, *(f'PUTSCRIPT "s{i}" "keep;"' for i in range(MAX_SCRIPTS + 1)))
    assert said[-2:] == ['OK "Stored."', 'NO (QUOTA/MAXSCRIPTS) "Too many scripts."']


def test_capabilities_are_told_again_after_starttls() -> None:
    said = play(SieveServer, Host("mb1a", starttls=True), "STARTTLS", TLS, LOGIN, "CAPABILITY")
    offered = [*GREETING[:4], '"STARTTLS"', *GREETING[4:]]
    assert said == [
        *offered,
        'OK "Begin TLS."',
        *GREETING,
        'OK "Logged in."',
        *(GREETING[0], '"SASL" ""', *GREETING[2:4], GREETING[5]),
    ]


def test_sessions_are_told_of_when_they_begin_and_when_they_end() -> None:
    seen: list[tuple[str, str, bool]] = []
    host = Host("mb1a", ["alice"], watch=lambda *session: seen.append(session))
    for user in ("bob", "alice"):
        message = base64.b64encode(f"\0{user}\0any".encode()).decode()
        play(SieveServer, host, f'AUTHENTICATE "PLAIN" "{message}"', "NOOP")
    assert seen == [("managesieve", "alice", True), ("managesieve", "alice", False)]

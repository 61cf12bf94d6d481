"""Which messages a command is about."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from loadtest.imap_search import search, sequence_set
from loadtest.mailbox import Message
from loadtest.words import BadSyntax, parse

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
MESSAGES = [
    Message(10, b"Subject: Tea\r\nFrom: alice\r\n\r\nHerbal.\r\n", WHEN, {r"\Seen"}),
    Message(20, b"Subject: Coffee\r\nFrom: bob\r\n\r\nStrong.\r\n", WHEN, {r"\Flagged"}),
    Message(30, b"Subject: Water\r\nFrom: bob\r\n\r\nStill.\r\n", WHEN),
]


@pytest.mark.parametrize(
    ("keys", "numbers"),
    [
        ("ALL", [1, 2, 3]),
        ("NEW", []),
        ("SEEN", [1]),
        ("UNSEEN", [2, 3]),
        ("UNSEEN UNFLAGGED", [3]),
        ("NOT FLAGGED", [1, 3]),
        ("OR SEEN FLAGGED", [1, 2]),
        ("(SEEN ALL)", [1]),
        ("UID 15:*", [2, 3]),
        ("2:3", [2, 3]),
        ("FROM BOB", [2, 3]),
        ("SUBJECT tea", [1]),
        ("BODY tea", []),
        ("TEXT herbal", [1]),
        ("SINCE 1-Jan-2026 SEEN", [1]),
        ("CHARSET UTF-8 TO nobody", []),
    ],
)
def test_keys_choose_messages(keys: str, numbers: list[int]) -> None:
    assert [number for number, _ in search(parse(keys.encode()), MESSAGES)] == numbers


@pytest.mark.parametrize("keys", ["NONSENSE", "NOT", "UID", "OR SEEN", "FROM"])
def test_a_key_that_does_not_exist_is_refused(keys: str) -> None:
    with pytest.raises(BadSyntax):
        search(parse(keys.encode()), MESSAGES)


def test_an_empty_mailbox_has_no_matches() -> None:
    assert search(parse(b"UID 1:*"), []) == []


@pytest.mark.parametrize(
    ("word", "inside"),
    [(b"1", [1]), (b"2:3", [2, 3]), (b"3:2,5", [2, 3, 5]), (b"*", [5]), (b"4:*", [4, 5]), (b"9:*", [5])],
)
def test_a_sequence_set_may_run_backwards_and_to_the_end(word: bytes, inside: list[int]) -> None:
    chosen = sequence_set(word, 5)
    assert [number for number in range(1, 6) if chosen(number)] == inside


@pytest.mark.parametrize("word", [b"", b"a", b"1:", b"1,", b"99999999999"])
def test_what_is_no_sequence_set_is_refused(word: bytes) -> None:
    with pytest.raises(BadSyntax):
        sequence_set(word, 5)

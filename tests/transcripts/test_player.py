"""The player notices when a conversation does not go as it is written."""

from __future__ import annotations

import pytest

from .player import CHUNKINGS, Chunking, byte_by_byte, in_threes, lockstep, play, whole
from .script import Conversation, read

GOOD = """\
== A login
-- secure
S: * OK ...
C: a1 LOGIN {5}
S: + OK
C: alice secret
! Attempt LOGIN user=alice secret=secret
> refuse LIMIT
S: a1 NO [LIMIT] Too many connections for this user or address.
C: a2 LOGIN alice secret
! Attempt LOGIN user=alice secret=secret
> accept
S: a2 OK Logged in.
L: a3 NOOP
"""
TLS = """\
== TLS
-- starttls
S: +OK ...
C: STLS
S: +OK ...
T:
C: QUIT
S: +OK Logging out.
! Ended
"""
BACKEND = """\
== A login
-- secure
B: +OK
V: USER alice
B: +OK
V: PASS secret
B: +OK
! Welcome
L: x
"""


def conversation(text: str, file: str = "imap-client-x.txt") -> Conversation:
    (found,) = read(file, text)
    return found


def test_pieces_are_cut_as_each_play_wants_them() -> None:
    pieces = [b"abcd", b"efg", None, b"h"]
    assert lockstep(pieces) == pieces
    assert whole(pieces) == [b"abcdefg", None, b"h"]
    assert in_threes(pieces) == [b"abc", b"def", b"g", None, b"h"]
    assert byte_by_byte(pieces) == [b"a", b"b", b"c", b"d", b"e", b"f", b"g", None, b"h"]


@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize(
    ("text", "file"), [(GOOD, "imap-client-x.txt"), (TLS, "pop3-client-x.txt"), (BACKEND, "pop3-backend-x.txt")]
)
def test_what_goes_as_written_passes(text: str, file: str, chunking: Chunking) -> None:
    play(conversation(text, file), chunking)


@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("S: + OK\n", ""),
        ("S: + OK\n", "S: + Go on.\n"),
        ("[LIMIT] Too", "[LIMIT] Two"),
        ("user=alice secret=secret\n> refuse", "user=alice secret=other\n> refuse"),
        ("L: a3 NOOP\n", "C: a3 NOOP\n"),
        ("L: a3 NOOP\n", "S: a3 OK NOOP completed.\n"),
        ("S: a2 OK Logged in.\n", "S: a2 OK Logged in.\nS: a2 OK Logged in.\n"),
    ],
)
def test_what_goes_otherwise_fails(written: str, instead: str, chunking: Chunking) -> None:
    assert written in GOOD
    with pytest.raises(AssertionError):
        play(conversation(GOOD.replace(written, instead)), chunking)


def test_lockstep_notices_in_which_order_things_are_said() -> None:
    early = GOOD.replace("S: + OK\nC: alice secret\n", "C: alice secret\nS: + OK\n")
    with pytest.raises(AssertionError):
        play(conversation(early), lockstep)
    play(conversation(early), whole)

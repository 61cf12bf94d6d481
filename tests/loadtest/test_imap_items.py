"""What FETCH says of a message."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from loadtest.imap_items import item_names, marks_seen, nstring, render
from loadtest.mailbox import Message
from loadtest.words import BadSyntax

HEADER = b'From: "A. B." <ab@example>\r\nTo: bob, c@example\r\nSubject: a\r\n folded "one"\r\nDate: today\r\n\r\n'
MESSAGE = Message(
    7, HEADER + b"line one\r\nline two\r\n", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), {r"\Seen", r"\Draft"}
)


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        ("UID", b"UID 7"),
        ("flags", rb"FLAGS (\Draft \Seen)"),
        ("INTERNALDATE", b'INTERNALDATE "02-Jan-2026 03:04:05 +0000"'),
        ("RFC822.SIZE", b"RFC822.SIZE %d" % len(MESSAGE.data)),
        ("RFC822.TEXT", b"RFC822.TEXT {20}\r\nline one\r\nline two\r\n"),
        ("RFC822", b"RFC822 {%d}\r\n%b" % (len(MESSAGE.data), MESSAGE.data)),
        ("RFC822.HEADER", b"RFC822.HEADER {%d}\r\n%b" % (len(HEADER), HEADER)),
        ("BODY[]", b"BODY[] {%d}\r\n%b" % (len(MESSAGE.data), MESSAGE.data)),
        ("BODY.PEEK[TEXT]<5.3>", b"BODY[TEXT]<5> {3}\r\none"),
        ("BODY[1]", b"BODY[1] {20}\r\nline one\r\nline two\r\n"),
        ("BODY[HEADER]", b"BODY[HEADER] {%d}\r\n%b" % (len(HEADER), HEADER)),
        ("BODY[1.MIME]", b"BODY[1.MIME] {2}\r\n\r\n"),
        (
            "BODY.PEEK[HEADER.FIELDS (DATE SUBJECT)]",
            b'BODY[HEADER.FIELDS (DATE SUBJECT)] {42}\r\nSubject: a\r\n folded "one"\r\nDate: today\r\n\r\n',
        ),
        (
            "BODY[HEADER.FIELDS.NOT (From To Subject)]",
            b"BODY[HEADER.FIELDS.NOT (From To Subject)] {15}\r\nDate: today\r\n\r\n",
        ),
        ("BODYSTRUCTURE", b'BODYSTRUCTURE ("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "8BIT" 20 2 NIL NIL NIL NIL)'),
        ("BODY", b'BODY ("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "8BIT" 20 2)'),
    ],
)
def test_an_item_is_rendered(item: str, answer: bytes) -> None:
    assert render(item, MESSAGE) == answer


def test_an_envelope_repeats_the_sender_where_nobody_else_is_named() -> None:
    sender = b'(("A. B." NIL "ab" "example"))'
    recipients = b'((NIL NIL NIL "bob")(NIL NIL "c" "example"))'
    assert render("ENVELOPE", MESSAGE).split(sender) == [
        b'ENVELOPE ("today" {16}\r\na\r\n folded "one" ',
        b" ",
        b" ",
        b" " + recipients + b" NIL NIL NIL NIL)",
    ]


@pytest.mark.parametrize("item", ["NONSENSE", "BODY[2]", "BODY[TEXT TEXT]", "BODY[", "BODY[()]", "BODY[(]"])
def test_an_item_that_does_not_exist_is_refused(item: str) -> None:
    with pytest.raises(BadSyntax):
        render(item, MESSAGE)


def test_macros_lists_and_single_items_are_all_lists() -> None:
    assert item_names(b"fast") == ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]
    assert item_names([b"UID", b"BODY[]"]) == ["UID", "BODY[]"]
    assert item_names(b"BODY[HEADER.FIELDS (A B)]") == ["BODY[HEADER.FIELDS (A B)]"]


def test_reading_a_body_marks_it_seen_and_peeking_does_not() -> None:
    assert [marks_seen(item) for item in ("BODY[]", "RFC822", "rfc822.text")] == [True] * 3
    assert [marks_seen(item) for item in ("BODY.PEEK[]", "RFC822.HEADER", "BODY", "RFC822.SIZE")] == [False] * 4


def test_a_string_is_written_in_the_form_it_needs() -> None:
    assert [nstring(b""), nstring(b'a"\\'), nstring(b"\r\n")] == [b"NIL", b'"a\\"\\\\"', b"{2}\r\n\r\n"]

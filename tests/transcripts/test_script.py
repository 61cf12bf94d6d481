"""Reading transcripts."""

from __future__ import annotations

import pytest

from .script import FOLDER, Step, conversations, read, resolve, words


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (rb"a\\b", rb"a\b"),
        (rb"\r\n\0\x1f\x20", b"\r\n\0\x1f "),
        (rb"\{ab*3}c", b"abababc"),
        (rb"\{\0*2}", b"\0\0"),
        (rb"\b<\0alice\0secret>", b"AGFsaWNlAHNlY3JldA=="),
        (rb"\b<\{x*3}>", b"eHh4"),
        (rb"{5} {5+} \\{5}", rb"{5} {5+} \{5}"),
    ],
)
def test_escapes_are_resolved(written: bytes, meant: bytes) -> None:
    assert resolve(written, "here") == meant


@pytest.mark.parametrize("written", [rb"\q", rb"\x1", rb"\{x*}", b"\\"])
def test_unknown_escapes_are_refused(written: bytes) -> None:
    with pytest.raises(ValueError, match="escape"):
        resolve(written, "here")


def test_a_conversation_is_read() -> None:
    text = "# x\n\n== One\n-- secure limit.line=5\nC: a\nC: b\\\nS: c...\nT:\n! d\n\n== Two\nL:\n"
    one, two = read("imap-client-x.txt", text)
    assert (str(one), one.options) == ("One", {"secure": "", "limit.line": "5"})
    assert one.steps == [
        Step("C", b"a\r\n"),
        Step("C", b"b"),
        Step("S", b"c", open=True),
        Step("T", b""),
        Step("!", b"d"),
    ]
    assert (two.title, two.steps) == ("Two", [Step("L", b"\r\n")])


@pytest.mark.parametrize("text", ["C: a\n", "== One\nX: a\n", "== One\nC:a\n", "== One\n C: a\n"])
def test_what_is_no_transcript_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="title"):
        list(read("x.txt", text))


def test_orders_and_events_have_words_and_values() -> None:
    assert words(b"accept known=IMAP4rev1 IDLE untagged=* OK x") == (
        "accept",
        {"known": "IMAP4rev1 IDLE", "untagged": "* OK x"},
    )
    assert words(b"refuse LIMIT") == ("refuse LIMIT", {})


def test_every_conversation_of_a_file_has_its_own_title() -> None:
    for file in FOLDER.glob("*.txt"):
        titles = [conversation.title for conversation in conversations(file.stem)]
        assert len(titles) == len(set(titles)), file.name


def test_no_line_ends_in_a_blank_that_an_editor_would_take_away() -> None:
    for file in FOLDER.glob("*.txt"):
        assert not [line for line in file.read_text().split("\n") if line.endswith((" ", "\t"))], file.name

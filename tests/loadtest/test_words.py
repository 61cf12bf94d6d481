"""Commands as words."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.words import LITERAL, BadSyntax, Word, parse, read_command, text
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.wire import LineTooLong


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"a NOOP", [b"a", b"NOOP"]),
        (rb'a LOGIN "al\"ice" "back\\slash"', [b"a", b"LOGIN", b'al"ice', b"back\\slash"]),
        (rb"a STORE 1 +FLAGS (\Seen \Draft)", [b"a", b"STORE", b"1", b"+FLAGS", [rb"\Seen", rb"\Draft"]]),
        (b'a LIST "" *', [b"a", b"LIST", b"", b"*"]),
        (b"(a (b ()) c)", [[b"a", [b"b", []], b"c"]]),
        (
            b"BODY.PEEK[HEADER.FIELDS (FROM TO)]<0.10> UID",
            [b"BODY.PEEK[HEADER.FIELDS (FROM TO)]<0.10>", b"UID"],
        ),
    ],
)
def test_a_line_is_split_as_the_grammar_has_it(line: bytes, words: list[Word]) -> None:
    assert parse(line) == words


@pytest.mark.parametrize("line", [b"", b"a (", b"a )", b'a "open', b"a ]", b"(" * 20 + b")" * 20])
def test_what_is_no_command_is_refused(line: bytes) -> None:
    with pytest.raises(BadSyntax) as bad:
        parse(line)
    assert bad.value.first == (b"a" if line.startswith(b"a") else b"")


def test_literals_are_words_and_the_synchronising_are_asked_for() -> None:
    wire = MemoryWire([b"a LOGIN {5}\r\n", b"al ce {3+}\r\n\r\n(\r\nb NOOP\r\n"])
    assert run(read_command(wire, 100, b"+ OK\r\n")) == [b"a", b"LOGIN", b"al ce", b"\r\n("]
    assert wire.sent == [b"+ OK\r\n"]


def test_managesieve_has_no_go_ahead() -> None:
    wire = MemoryWire([b'PUTSCRIPT "x" {5}\r\nkeep;\r\n'])
    assert run(read_command(wire, 100)) == [b"PUTSCRIPT", b"x", b"keep;"]
    assert wire.sent == []


@pytest.mark.parametrize("sent", [b"a {%d+}\r\n" % (LITERAL + 1), b"{0+}\r\n" * 20, b"a" * 200 + b"\r\n"])
def test_everything_has_a_bound(sent: bytes) -> None:
    with pytest.raises(LineTooLong):
        run(read_command(MemoryWire([sent]), 100))


def test_a_list_is_not_text() -> None:
    assert text(b"\xffx") == "\ufffdx"
    with pytest.raises(BadSyntax):
        text([])


@given(st.binary(max_size=60))
def test_no_line_does_anything_else(line: bytes) -> None:
    with contextlib.suppress(BadSyntax):
        parse(line)

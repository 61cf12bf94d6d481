"""Strings of ManageSieve."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols.limits import Limits
from proxy.protocols.managesieve.strings import Strings, quoted
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.preauth import BadCommand
from proxy.protocols.wire import BareNewline, EndOfStream, LineTooLong
from tests.proxy.protocols.strategies import MANY


def read(rest: bytes, *chunks: bytes) -> tuple[bytes, bytes]:
    """The value and what is left of the line."""
    wire = MemoryWire(chunks)
    strings = Strings(wire, rest, Limits())
    value = run(strings.next(10))
    assert wire.sent == []
    return value, strings.rest


@pytest.mark.parametrize(
    ("rest", "value", "left"),
    [
        (b'"" x', b"", b" x"),
        (rb'"a\"b\\c"', rb'a"b\c', b""),
        (b'"\x01\xff"', b"\x01\xff", b""),
    ],
)
def test_a_quoted_string_is_on_the_line(rest: bytes, value: bytes, left: bytes) -> None:
    assert read(rest) == (value, left)


@pytest.mark.parametrize("announced", [b"{5}", b"{5+}", b"{0005+}"])
def test_a_literal_comes_unasked_and_the_line_goes_on_behind_it(announced: bytes) -> None:
    assert read(announced, b'al\r\ne "x"\r\n') == (b"al\r\ne", b' "x"')


@pytest.mark.parametrize(
    "rest", [b"", b"x", b'"x', b'"\\x"', b'"\0"', b'"\r"', b"{5} ", b"{}", b"{5-}", b"{12345678901}"]
)
def test_what_is_no_string_is_a_bad_command(rest: bytes) -> None:
    with pytest.raises(BadCommand):
        read(rest)


def test_a_literal_that_is_too_large_is_not_read() -> None:
    with pytest.raises(LineTooLong):
        read(b"{11+}", b"x" * 11)


def test_a_literal_with_nul_is_a_bad_command_and_has_been_read() -> None:
    wire = MemoryWire([b"a\0b\r\n", b"next"])
    with pytest.raises(BadCommand):
        run(Strings(wire, b"{3+}", Limits()).next(10))
    assert wire.rest() == b"next"


@MANY
@given(st.text('{}+"\\ x0159\0\r\x7fü', max_size=14), st.binary(max_size=30))
def test_any_bytes_are_a_string_or_refused(rest: str, behind: bytes) -> None:
    try:
        value, left = read(rest.encode(), behind)
    except (BadCommand, LineTooLong, BareNewline, EndOfStream):
        return
    assert b"\0" not in value
    assert len(left) <= len(rest.encode()) + len(behind)


@MANY
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=60))
def test_a_string_that_we_write_is_read_as_it_was_meant(text: str) -> None:
    assert run(Strings(MemoryWire([]), quoted(text).encode(), Limits()).next(10)) == text.encode()

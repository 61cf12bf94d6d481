"""The arguments of IMAP commands."""

from __future__ import annotations

from collections.abc import Callable, Coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols.imap.arguments import Arguments
from proxy.protocols.limits import Limits
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.preauth import BadCommand
from proxy.protocols.wire import BareNewline, EndOfStream, LineTooLong
from tests.proxy.protocols.strategies import MANY

LIMITS = Limits(literal=20)
Read = Callable[[Arguments], Coroutine[None, None, bytes | None]]


async def atom(arguments: Arguments) -> bytes | None:
    return arguments.atom()


READS: dict[str, Read] = {
    "atom": atom,
    "string": lambda arguments: arguments.string(10),
    "astring": lambda arguments: arguments.astring(10),
    "nstring": lambda arguments: arguments.nstring(10),
}


def read(how: str, rest: bytes, *chunks: bytes) -> tuple[bytes | None, bytes, bytes]:
    """The value, what we said to get it, and what is left of the line."""
    wire = MemoryWire(chunks)
    arguments = Arguments(wire, rest, LIMITS)
    value = run(READS[how](arguments))
    return value, b"".join(wire.sent), arguments._rest


@pytest.mark.parametrize(
    ("how", "rest", "value", "left"),
    [
        ("atom", b"alice x", b"alice", b" x"),
        ("atom", b"a%*]}+\xff(", b"a%*]}+\xff", b"("),
        ("string", b'"" x', b"", b" x"),
        ("string", rb'"a\"b\\c"', rb'a"b\c', b""),
        ("string", b'"\x01\xff\t"', b"\x01\xff\t", b""),
        ("astring", b"alice", b"alice", b""),
        ("astring", b'"alice"', b"alice", b""),
        ("nstring", b"NIL", None, b""),
        ("nstring", b"nil x", None, b" x"),
        ("nstring", b"Nil)", None, b")"),
        ("nstring", b'"NIL"', b"NIL", b""),
    ],
)
def test_what_is_on_the_line_is_taken_from_it(how: str, rest: bytes, value: bytes | None, left: bytes) -> None:
    assert read(how, rest) == (value, b"", left)


@pytest.mark.parametrize("how", ["string", "astring", "nstring"])
def test_a_literal_is_asked_for_and_the_line_goes_on_behind_it(how: str) -> None:
    assert read(how, b"{5}", b"al\r\ne x\r\n") == (b"al\r\ne", b"+ OK\r\n", b" x")
    assert read(how, b"{10+}", b"alice", b"smith", b"\r\n") == (b"alicesmith", b"", b"")
    assert read(how, b"{0+}", b"\r\n") == (b"", b"", b"")
    assert read(how, b"{0005+}", b"alice\r\n") == (b"alice", b"", b"")


@pytest.mark.parametrize(
    ("how", "rest"),
    [
        ("atom", b""),
        ("atom", b" x"),
        ("atom", b'"x"'),
        ("string", b"x"),
        ("string", b'"x'),
        ("string", b'"\\x"'),
        ("string", b'"\0"'),
        ("string", b'"\r"'),
        ("string", b'"12345678901"'),
        ("string", b"{11}"),
        ("string", b"{5} "),
        ("string", b"{5+}x"),
        ("string", b"{}"),
        ("string", b"{12345678901}"),
        ("astring", b""),
        ("astring", b"12345678901"),
        ("nstring", b"NILL"),
        ("nstring", b"x"),
    ],
)
def test_what_is_no_argument_is_a_bad_command(how: str, rest: bytes) -> None:
    with pytest.raises(BadCommand):
        read(how, rest)


def test_a_literal_that_is_too_large_and_on_its_way_is_not_read() -> None:
    with pytest.raises(LineTooLong):
        read("string", b"{11+}", b"x" * 11)
    with pytest.raises(LineTooLong):
        run(Arguments(MemoryWire([]), b"{21+}", LIMITS).string(1000))


def test_a_literal_with_nul_is_a_bad_command_and_has_been_read() -> None:
    wire = MemoryWire([b"a\0b c\r\n", b"next"])
    with pytest.raises(BadCommand):
        run(Arguments(wire, b"{3+}", LIMITS).string(10))
    assert wire.rest() == b"next"


@MANY
@given(st.sampled_from(sorted(READS)), st.text('{}+"\\ ()NIL*%0159\0\r\x7fü', max_size=14), st.binary(max_size=30))
def test_any_bytes_are_an_argument_or_refused(how: str, rest: str, behind: bytes) -> None:
    try:
        value, said, left = read(how, rest.encode(), behind)
    except (BadCommand, LineTooLong, BareNewline, EndOfStream):
        return
    assert value is None or b"\0" not in value
    assert said in (b"", b"+ OK\r\n")
    assert len(left) <= len(rest.encode()) + len(behind)

"""What IMAP and ManageSieve write alike."""

from __future__ import annotations

import pytest

from proxy.protocols.commandline import CommandLine
from proxy.protocols.imap.arguments import Arguments
from proxy.protocols.limits import Limits
from proxy.protocols.managesieve.strings import Strings
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.preauth import BadCommand
from proxy.protocols.wire import LineTooLong

LIMITS = Limits(literal=10)


def test_a_line_is_taken_apart_from_the_left() -> None:
    line = CommandLine(MemoryWire([]), b"NOOP x", LIMITS)
    assert not line.take(b"noop")
    assert line.take(b"NOOP")
    line.space()
    with pytest.raises(BadCommand):
        line.space()
    with pytest.raises(BadCommand):
        line.end()
    assert line.take(b"x")
    line.end()


@pytest.mark.parametrize("kind", [Arguments, Strings])
def test_all_literals_that_are_on_their_way_are_passed_over(kind: type[CommandLine]) -> None:
    wire = MemoryWire([b"a\r\nb\r {3+}\r\n{1}", b" x\r\nnext"])
    run(kind(wire, b"FOO {5+}", LIMITS).skip())
    assert wire.rest() == b"next"


@pytest.mark.parametrize("rest", [b"", b"{5+", b"{5+} ", b'"{5+}"', b"{+}", b"{5-}", b"5+}"])
@pytest.mark.parametrize("kind", [Arguments, Strings])
def test_where_no_literal_is_announced_nothing_is_passed_over(kind: type[CommandLine], rest: bytes) -> None:
    wire = MemoryWire([b"next\r\n"])
    run(kind(wire, rest, LIMITS).skip())
    assert wire.rest() == b"next\r\n"


def test_only_imap_asks_for_a_literal_first() -> None:
    wire = MemoryWire([b"12345 x\r\nnext"])
    run(Arguments(wire, b"FOO {5}", LIMITS).skip())
    assert wire.consumed == 0
    run(Strings(wire, b"FOO {5}", LIMITS).skip())
    assert wire.rest() == b"next"


@pytest.mark.parametrize("size", [b"11", b"4294967296", b"99999999999", b"9" * 6000])
@pytest.mark.parametrize("kind", [Arguments, Strings])
def test_a_literal_over_the_limit_is_not_passed_over(kind: type[CommandLine], size: bytes) -> None:
    wire = MemoryWire([b"x" * 100])
    with pytest.raises(LineTooLong):
        run(kind(wire, b"FOO {%b+}" % size, LIMITS).skip())
    assert wire.consumed == 0

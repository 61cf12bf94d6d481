"""The failures of a wire."""

from __future__ import annotations

import pytest

from proxy.protocols import wire
from proxy.protocols.memory import MemoryWire


@pytest.mark.parametrize(
    "failure",
    [wire.EndOfStream, wire.LineTooLong, wire.BareNewline, wire.Expired, wire.ShuttingDown, wire.TlsFailure],
)
def test_each_failure_of_a_wire_is_caught_as_one(failure: type[wire.WireFailure]) -> None:
    with pytest.raises(wire.WireFailure):
        raise failure


def test_the_wire_of_the_tests_is_a_wire() -> None:
    wire_of_tests: wire.Wire = MemoryWire([])
    assert not wire_of_tests.secure
    assert wire_of_tests.certificate_user == ""

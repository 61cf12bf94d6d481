from __future__ import annotations

import pytest

from loadtest.fleet.hearing import shown, trouble
from proxy.protocols.wire import BareNewline, EndOfStream, Expired, LineTooLong, ShuttingDown, TlsFailure, WireFailure


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (EndOfStream("closed"), "login: connection lost"),
        (Expired(), "login: no answer"),
        (TlsFailure("expired"), "login: TLS failed"),
        (LineTooLong(), "login: not the protocol"),
        (BareNewline(), "login: not the protocol"),
        (ShuttingDown(), "login: connection lost"),
    ],
)
def test_a_broken_conversation_is_of_a_kind(failure: WireFailure, kind: str) -> None:
    found = trouble("login", failure)
    assert found.kind == kind
    assert str(found)


def test_lines_are_shown_short_and_printable() -> None:
    assert shown(b"\xff" + b"x" * 1000) == "\\xff" + "x" * 159

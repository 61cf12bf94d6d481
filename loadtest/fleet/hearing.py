"""What goes wrong in a client's conversation, by kind."""

from __future__ import annotations

from proxy.protocols.wire import BareNewline, EndOfStream, Expired, LineTooLong, TlsFailure, WireFailure


class Trouble(Exception):
    """Something was not as it has to be: `kind` is one of few, the text an example of it."""

    def __init__(self, kind: str, example: str) -> None:
        super().__init__(example)
        self.kind = kind


class Refused(Trouble):
    """A server has said no."""


class RunOver(Exception):
    """The run is over; whoever gets this parts from the server and ends."""


class Dropped(Exception):
    """The scenario has cut this client's connection."""


_KINDS: tuple[tuple[type[WireFailure], str], ...] = (
    (EndOfStream, "connection lost"),
    (Expired, "no answer"),
    (TlsFailure, "TLS failed"),
    (LineTooLong, "not the protocol"),
    (BareNewline, "not the protocol"),
)


def trouble(phase: str, failure: WireFailure) -> Trouble:
    """A broken conversation as trouble in a phase."""
    words = next((words for kind, words in _KINDS if isinstance(failure, kind)), "connection lost")
    return Trouble(f"{phase}: {words}", str(failure) or type(failure).__name__)


def shown(line: bytes) -> str:
    """A server's line for an example."""
    return line[:160].decode(errors="backslashreplace")

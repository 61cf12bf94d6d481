"""Asking the director of this node: lines of JSON over its socket for operators (see director/console.py)."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import DecodeError
from msgspec.json import decode, encode

_PATIENCE: Final = 30.0
"""Seconds for each piece of an answer."""

_LONGEST_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of a line."""


class Unanswered(Exception):
    """No director answers at the socket, or not in words that we understand."""


class Refused(Exception):
    """The director says why it does not do that."""


def ask(path: Path, question: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the director's answers to a question: one, or for a listing one for each thousand "rows".

    Blocks for at most 30 seconds before each piece. Raises Unanswered and Refused.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(str(path))
            connection.sendall(encode(question) + b"\n")
            with connection.makefile("rb") as lines:
                more = True
                while more:
                    answer = _read(lines.readline(_LONGEST_ANSWER))
                    more = answer.pop("more", False)
                    yield answer
    except OSError as error:
        raise Unanswered(f"no director answers at {path}: {error.strerror or error}") from error


def _read(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise Unanswered("the director has gone before it had answered")
    try:
        answer = decode(line, type=dict[str, Any])
    except DecodeError:
        raise Unanswered("what answers there is no director of this version") from None
    if not answer.pop("ok", False):
        raise Refused(str(answer.get("error", "it does not say why")))
    return answer

"""Reading conversations out of transcript files; README.md says how they are written."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent

_STEP = re.compile(r"([SCVBTL]:|[!>])(?: (.*))?")
_ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|b<([^>]*)>|\{([^}]*?)\*([0-9]+)\}|([rn0\\]))")
_CHARACTERS = {b"r": b"\r", b"n": b"\n", b"0": b"\0", b"\\": b"\\"}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a conversation: who (S, C, V, B, T, L, ! or >), and what is said, escapes resolved.

    `open` is an expectation that ends in `...` and is met by anything that begins with `data`.
    """

    who: str
    data: bytes
    open: bool = False

    def __str__(self) -> str:
        text = repr(self.data)[2:-1]
        return f"{self.who} {text if len(text) <= 400 else f'{text[:100]}... ({len(self.data)} bytes)'}"

    def met_by(self, other: Step) -> bool:
        """Whether `other` is what was expected here."""
        if self.who != other.who:
            return False
        return other.data.startswith(self.data) if self.open else self.data == other.data


@dataclass(slots=True)
class Conversation:
    """A conversation with its title, its options and its steps."""

    file: str
    title: str
    options: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def __str__(self) -> str:
        return self.title


def conversations(name: str) -> list[Conversation]:
    """All conversations of the files whose name begins with `name`, as in "imap-client"."""
    files = sorted(FOLDER.glob(f"{name}*.txt"))
    return [conversation for file in files for conversation in read(file.name, file.read_text())]


def read(file: str, text: str) -> Iterator[Conversation]:
    """The conversations of one file; raises `ValueError` for a line that is none of a transcript."""
    present: Conversation | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("== "):
            if present is not None:
                yield present
            present = Conversation(file, line[3:])
        elif line and not line.startswith("#"):
            if present is None:
                raise ValueError(f"{file}:{number}: a conversation begins with its title")
            _read_line(present, line, f"{file}:{number}")
    if present is not None:
        yield present


def _read_line(conversation: Conversation, line: str, where: str) -> None:
    if line.startswith("-- "):
        words = (word.partition("=") for word in line[3:].split())
        conversation.options.update({key: value for key, _, value in words})
        return
    match = _STEP.fullmatch(line)
    if match is None:
        raise ValueError(f"{where}: neither a title, an option nor a step")
    conversation.steps.append(_step(match[1].rstrip(":"), match[2] or "", where))


def _step(who: str, text: str, where: str) -> Step:
    data = text.encode()
    if who in "SV":
        return Step(who, resolve(data.removesuffix(b"..."), where), data.endswith(b"..."))
    if who not in "CBL":
        return Step(who, resolve(data, where))
    if data.endswith(b"\\") and not data.endswith(b"\\\\"):
        return Step(who, resolve(data[:-1], where))
    return Step(who, resolve(data, where) + b"\r\n")


def resolve(data: bytes, where: str) -> bytes:
    """`data` with its escapes resolved; raises `ValueError` for a backslash that begins none."""
    if b"\\" in _ESCAPE.sub(b"", data):
        raise ValueError(f"{where}: an unknown escape")
    return _ESCAPE.sub(_resolved, data)


def _resolved(match: re.Match[bytes]) -> bytes:
    code, encoded, repeated, times, character = match.groups()
    if code is not None:
        return bytes.fromhex(code.decode())
    if encoded is not None:
        return base64.b64encode(resolve(encoded, ""))
    if repeated is not None:
        return resolve(repeated, "") * int(times)
    return _CHARACTERS[character]


def words(data: bytes) -> tuple[str, Mapping[str, str]]:
    """An order or event as its first words and its `key=value` parts, whose values may hold blanks."""
    first, *parts = re.split(r" (?=[a-z_]+=)", data.decode())
    split = (part.partition("=") for part in parts)
    return first, {key: value for key, _, value in split}

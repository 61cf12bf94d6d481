"""Mail that certifies itself: whoever reads a message can tell whose it is, which one, and whether it is whole.

A message is made of a recipe and nothing else, so a server may keep the recipe and make the message when somebody
reads it. What a server or a relay puts in front of the header (Received, Return-Path) does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from math import pow  # noqa: A004 (the one of floats)
from random import Random
from struct import calcsize, unpack
from typing import NamedTuple
from zlib import crc32

DOMAIN = "example.org"

PUSHED = 1_000_000_000
"""The serial numbers of what arrives without a client's doing begin here; below are the first mail and the clients'."""

MOST_FIRST = 20
"""Most messages a mailbox holds at the beginning."""

SMALLEST_FIRST = 700
"""Bytes of the smallest of them."""

LARGEST_FIRST = 200_000
"""Bytes of the largest of them."""

_NUMBER_TAIL = 1.1
_SIZE_TAIL = 1.3
"""Exponents of the Pareto distributions: the average is 3 messages of 2.5 KiB."""

_HEADER = """\
Date: Thu, 01 Jan 2026 00:00:00 +0000\r
From: Load test <loadtest@{domain}>\r
To: <{user}@{domain}>\r
Subject: Message {serial}\r
Message-ID: <{serial}.{user}@loadtest.{domain}>\r
X-Loadtest-User: {user}\r
X-Loadtest-Serial: {serial}\r
X-Loadtest-Digest: {digest}\r
X-Loadtest-Sent: {sent!r}\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=us-ascii\r
\r
"""

_FIELD = re.compile(rb"^X-Loadtest-(User|Serial|Digest|Sent): ([^\r\n]{1,200})\r?$", re.MULTILINE)

_LINE = 72

_DRAWN = f"!{MOST_FIRST + 1}H"
"""Numbers of 16 bits that a hash gives: for the count, and for every size."""


class Recipe(NamedTuple):
    """What a message is made of: whose it is, its number among the user's, its size in bytes, when it was sent.

    `sent` is the monotonic clock of the machine, in seconds; 0.0 for mail that has always been there.
    """

    user: str
    serial: int
    size: int
    sent: float = 0.0

    def compose(self) -> bytes:
        """The message."""
        return compose(self.user, self.serial, self.size, self.sent)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a message says of itself; `intact` tells whether it is what was composed. `serial` is -1 if unreadable."""

    user: str
    serial: int
    sent: float
    intact: bool


def compose(user: str, serial: int, size: int, sent: float = 0.0) -> bytes:
    """An RFC 5322 message of `size` bytes, or of the fewest that are possible (some 400) if that is more.

    Equal arguments give equal bytes. Some of its lines begin with a dot or with `From`, as those of real mail do.
    """
    body = _body(user, serial, size - len(_header(user, serial, "0" * 32, sent)))
    return _header(user, serial, _digest(user, serial, body), sent) + body


def certify(raw: bytes) -> Certificate | None:
    """What a message says of itself, after a way through any number of servers; None for mail that is not ours."""
    header, _, body = raw.partition(b"\r\n\r\n")
    fields = {name: value for name, value in _FIELD.findall(header + b"\r\n")}
    if b"User" not in fields:
        return None
    user = fields[b"User"].decode(errors="replace")
    try:
        serial, sent = int(fields[b"Serial"]), float(fields[b"Sent"])
    except (KeyError, ValueError):
        return Certificate(user, -1, 0.0, intact=False)
    digest = fields.get(b"Digest", b"").decode(errors="replace")
    return Certificate(user, serial, sent, intact=digest == _digest(user, serial, body))


def recipe_of(raw: bytes) -> Recipe | None:
    """The recipe that gives exactly these bytes, or None if there is none."""
    certificate = certify(raw)
    if certificate is None or not certificate.intact:
        return None
    recipe = Recipe(certificate.user, certificate.serial, len(raw), certificate.sent)
    return recipe if recipe.compose() == raw else None


def first_mail(user: str) -> list[bytes]:
    """What a user's mailbox holds at the beginning, oldest first: serials 1 to 20 at most, of any size.

    Most have few and small messages, some have many or large ones; equal for equal names.
    """
    return [recipe.compose() for recipe in first_recipes(user)]


def first_recipes(user: str) -> list[Recipe]:
    """The recipes of `first_mail`."""
    drawn = unpack(_DRAWN, blake2b(user.encode(), digest_size=calcsize(_DRAWN)).digest())
    count = int(_pareto(1, MOST_FIRST, _NUMBER_TAIL, drawn[0]))
    sizes = [int(_pareto(SMALLEST_FIRST, LARGEST_FIRST, _SIZE_TAIL, number)) for number in drawn[1 : count + 1]]
    return [Recipe(user, serial, size) for serial, size in enumerate(sizes, 1)]


def shard_of(user: str, shards: Sequence[str]) -> str:
    """Where a user's mail is kept: the same shard of the same shards every time. `shards` is not empty."""
    return shards[crc32(user.encode()) % len(shards)]


def _pareto(least: int, most: int, exponent: float, drawn: int) -> float:
    """A value of the bounded distribution, for a number of 16 bits that is evenly distributed."""
    return min(most, least * pow((drawn + 1) / 65536, -1 / exponent))


def _header(user: str, serial: int, digest: str, sent: float) -> bytes:
    return _HEADER.format(user=user, serial=serial, digest=digest, sent=sent, domain=DOMAIN).encode()


def _digest(user: str, serial: int, body: bytes) -> str:
    """Of 128 bits, so that no two messages have the same."""
    digest = blake2b(b"%d:%b\0" % (serial, user.encode()), digest_size=16)
    digest.update(body)
    return digest.hexdigest()


def _body(user: str, serial: int, size: int) -> bytes:
    """Lines of text that end in CR LF, `size` bytes together but at least an empty line."""
    start = _STARTS[crc32(b"%d:%b" % (serial, user.encode())) % len(_STARTS)]
    text = _TEXT[start : start + max(size - 2, 0)]
    while len(text) < size - 2:
        text += _TEXT[: size - 2 - len(text)]
    return (text[:-1] + b"." if text.endswith(b"\r") else text) + b"\r\n"


def _lines(random: Random) -> list[bytes]:
    """A few thousand lines: words, and now and then what tempts software to change it."""
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(random.choices(letters, k=random.randint(1, 9))) for _ in range(400)]
    lines = ["".join(f"{word} " for word in random.choices(words, k=14))[:_LINE].rstrip() for _ in range(2000)]
    return [line.encode() + b"\r\n" for line in (*lines, *(".", "..", ".dot", "From here on", "", "=3D") * 20)]


def _text() -> tuple[bytes, tuple[int, ...]]:
    """The text of which bodies are cut, and where lines begin in it."""
    random = Random(5322)
    lines = _lines(random)
    random.shuffle(lines)
    return b"".join(lines), (0, *accumulate(len(line) for line in lines[:-1]))


_TEXT, _STARTS = _text()

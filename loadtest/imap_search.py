"""Which messages an IMAP command is about: sequence sets, and as much of SEARCH as clients use to look around."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from loadtest.mailbox import Message
from loadtest.words import BadSyntax, Word, text

Test = Callable[[int, Message], bool]

_FLAGS = ("SEEN", "ANSWERED", "FLAGGED", "DELETED", "DRAFT")
_ALL: Mapping[str, bool] = {"ALL": True, "OLD": True, "RECENT": False, "NEW": False}
_TEXTS: Mapping[str, Callable[[Message], bytes]] = {
    "TEXT": lambda message: message.data,
    "BODY": lambda message: message.text,
    "SUBJECT": lambda message: message.header,
    "FROM": lambda message: message.header,
    "TO": lambda message: message.header,
}
_NOT_LOOKED_AT = frozenset(
    {"SINCE", "BEFORE", "ON", "SENTSINCE", "SENTBEFORE", "SENTON", "KEYWORD", "LARGER", "SMALLER"}
)
"""Keys with one argument that match everything here."""


def sequence_set(word: Word, largest: int) -> Callable[[int], bool]:
    """Whether a number is in a set such as ``1:3,7,9:*``, `*` being `largest`; raises `BadSyntax`."""

    def number(part: str) -> int:
        if part == "*":
            return largest
        if not part.isdecimal() or len(part) > 10:
            raise BadSyntax(b"")
        return int(part)

    ranges = []
    for part in text(word).split(","):
        first, colon, last = part.partition(":")
        ends = sorted((number(first), number(last) if colon else number(first)))
        ranges.append((ends[0], ends[1]))
    return lambda wanted: any(low <= wanted <= high for low, high in ranges)


def search(words: Sequence[Word], messages: Sequence[Message]) -> list[tuple[int, Message]]:
    """The numbered messages that match all keys of a SEARCH command; raises `BadSyntax`."""
    if words and words[0] != [] and isinstance(words[0], bytes) and words[0].upper() == b"CHARSET":
        words = words[2:]
    test = _all_of(list(words), messages)
    return [(number, message) for number, message in enumerate(messages, 1) if test(number, message)]


def _all_of(words: list[Word], messages: Sequence[Message]) -> Test:
    tests = []
    while words:
        tests.append(_next(words, messages))
    return lambda number, message: all(test(number, message) for test in tests)


def _next(words: list[Word], messages: Sequence[Message]) -> Test:
    """The test for the next search key, which is taken from `words`."""
    if not words:
        raise BadSyntax(b"")
    word = words.pop(0)
    if isinstance(word, list):
        return _all_of(list(word), messages)
    key = text(word).upper()
    if key in _ALL:
        return lambda _, __, answer=_ALL[key]: answer  # type: ignore[misc]
    if key.removeprefix("UN") in _FLAGS:
        return _flag(key)
    if key in ("NOT", "OR"):
        return _combined(key, words, messages)
    return _with_argument(key, words, messages)


def _flag(key: str) -> Test:
    flag = "\\" + key.removeprefix("UN").capitalize()
    wanted = not key.startswith("UN")
    return lambda _, message: (flag in message.flags) == wanted


def _combined(key: str, words: list[Word], messages: Sequence[Message]) -> Test:
    first = _next(words, messages)
    if key == "NOT":
        return lambda number, message: not first(number, message)
    second = _next(words, messages)
    return lambda number, message: first(number, message) or second(number, message)


def _with_argument(key: str, words: list[Word], messages: Sequence[Message]) -> Test:
    if key == "UID" and words:
        inside = sequence_set(words.pop(0), messages[-1].uid if messages else 0)
        return lambda _, message: inside(message.uid)
    if key in _TEXTS and words:
        needle = text(words.pop(0)).lower().encode()
        return lambda _, message: needle in _TEXTS[key](message).lower()
    if key in _NOT_LOOKED_AT and words:
        words.pop(0)
        return lambda _, __: True
    inside = sequence_set(key.encode(), len(messages))
    return lambda number, _: inside(number)

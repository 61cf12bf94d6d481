"""What the directory says about a shard, as JSON: `{"name": ..., "backends": [{"name", "host", "priority", ...}]}`.

A backend's value is a name, which is its host too unless told otherwise, and settings: `mb1a`, or
`mb1a host=mb1a.example priority=1 weight=2 site=x imap=143 pop3=110`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

_NUMBERS = {"priority": (1, 1000), "weight": (1, 1000)}
_PORTS = ("imap", "imaps", "pop3", "pop3s", "managesieve")
_MOST_BACKENDS = 100
_LONGEST_VALUE = 1000


def shard_json(name: str, values: Iterable[str]) -> str:
    """The shard with these backends, by name. Raises ValueError, which says what is wrong with which value."""
    backends = sorted(map(_backend, values), key=lambda backend: str(backend["name"]))
    names = {backend["name"] for backend in backends}
    if not name or not backends or len(backends) > _MOST_BACKENDS:
        raise ValueError(f"a shard has a name and 1 to {_MOST_BACKENDS} backends")
    if len(names) != len(backends):
        raise ValueError("two backends have the same name")
    return json.dumps({"name": name, "backends": backends}, separators=(",", ":"))


def _backend(value: str) -> dict[str, Any]:
    name, *words = value[:_LONGEST_VALUE].split() or [""]
    if not name or "=" in name or len(value) > _LONGEST_VALUE:
        raise ValueError(f"{value[:100]!r} does not begin with a backend's name")
    told: dict[str, Any] = {"name": name, "host": name, "priority": 1, "weight": 1, "site": "", "ports": {}}
    for word in words:
        key, equals, setting = word.partition("=")
        if not equals or not setting:
            raise ValueError(f"{word!r} of {name!r} is not of the form setting=value")
        if key in ("host", "site"):
            told[key] = setting
        elif key in _NUMBERS:
            told[key] = _number(word, setting, *_NUMBERS[key])
        elif key in _PORTS:
            told["ports"][key] = _number(word, setting, 1, 65535)
        else:
            raise ValueError(f"{word!r} of {name!r} is no setting of a backend")
    return told


def _number(word: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and least <= int(text) <= most):
        raise ValueError(f"{word!r} is not a number from {least} to {most}")
    return int(text)

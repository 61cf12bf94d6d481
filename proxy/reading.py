"""Turns TOML tables into settings classes, led by annotations and field metadata alone, and collects every fault.

Rules:

* The name of a field is the key. A field without a default is a required key; a field with `metadata["key"] is False`
  is filled by the program and cannot be written in the file.
* `metadata` may hold `doc`, `unit`, `min` and `max` (of a number, or of a text's length in characters) and
  `at_least` (entries of a list).
* A class may have `faults()`, for rules over several keys; it is asked once all keys of the class could be read.
* No value of a key that ends in `password` or `secret` is ever part of a fault.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import functools
import ipaddress
import json
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Metadata = Mapping[str, Any]

NETWORK = ipaddress.IPv4Network | ipaddress.IPv6Network
LONGEST_SHOWN = 60
"""Characters of a found value that a fault repeats."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SECRET = re.compile(r"(password|secret)$", re.IGNORECASE)
_LARGEST_SHOWN = 1 << 64


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in the configuration: where (`listener[0].address`), what was found, what helps."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


class Unfit(Exception):
    """A value that its key cannot take; the text is the remedy, or empty when what was expected says it all."""


class _Unreadable(Exception):
    """A value could not be read and the faults that say why are already collected."""


def read(cls: type[T], table: Mapping[str, object], base: Path) -> tuple[T | None, tuple[Fault, ...]]:
    """Reads `table` as `cls`; paths count from the directory `base`. The value is None when there are faults."""
    reader = _Reader(base)
    try:
        value = reader.settings(cls, table, "")
    except _Unreadable:
        return None, tuple(reader.faults)
    return (None if reader.faults else value), tuple(reader.faults)


def keys(cls: type) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """The fields of a settings class that can be written in the file, in order, each with its resolved annotation."""
    hints = _hints(cls)
    return ((field, hints[field.name]) for field in dataclasses.fields(cls) if field.metadata.get("key", True))


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether the key has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def nested(annotation: object) -> type | None:
    """The settings class of a table or of a list of tables, or None for a plain value."""
    inner = _item(annotation) or annotation
    return inner if isinstance(inner, type) and dataclasses.is_dataclass(inner) else None


def is_list(annotation: object) -> bool:
    """Whether the key takes a list (for settings classes: `[[double]]` brackets)."""
    return _item(annotation) is not None


def expected(annotation: object, metadata: Metadata) -> str:
    """What a key takes, in words."""
    item = _item(annotation)
    if item is not None:
        return (
            f"a list of tables, [[{_last(metadata)}]]"
            if nested(item)
            else f"a list, each entry {expected(item, metadata)}"
        )
    if nested(annotation):
        return f"a table, [{_last(metadata)}]"
    return _kind(annotation).phrase(metadata)


class _Reader:
    """One pass over one file: knows the directory that paths count from and keeps the faults found so far."""

    def __init__(self, base: Path) -> None:
        self.faults: list[Fault] = []
        self._base = base

    def settings(self, cls: type[T], table: Mapping[str, object], path: str) -> T:
        before = len(self.faults)
        self._unknown_keys(cls, table, path)
        values = dict(self._values(cls, table, path))
        if len(self.faults) > before:
            raise _Unreadable
        value = cls(**values)
        self._own_rules(value, path)
        if len(self.faults) > before:
            raise _Unreadable
        return value

    def _unknown_keys(self, cls: type, table: Mapping[str, object], path: str) -> None:
        known = [field.name for field, _ in keys(cls)]
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key[:LONGEST_SHOWN], known, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"the keys here are {', '.join(known)}"
                self.faults.append(Fault(join(path, key), f"unknown key; {remedy}"))

    def _values(self, cls: type, table: Mapping[str, object], path: str) -> Iterator[tuple[str, object]]:
        for field, annotation in keys(cls):
            place, metadata = join(path, field.name), {**field.metadata, "name": join(path, field.name)}
            try:
                if field.name in table:
                    yield field.name, self._value(annotation, table[field.name], place, metadata)
                elif is_required(field):
                    self._missing(place, annotation, metadata)
            except _Unreadable:
                continue

    def _missing(self, path: str, annotation: object, metadata: Metadata) -> None:
        doc = metadata.get("doc", "")
        self.faults.append(
            Fault(path, f"missing; expected {expected(annotation, metadata)}" + (f": {doc}" if doc else ""))
        )

    def _value(self, annotation: object, value: object, path: str, metadata: Metadata) -> object:
        item = _item(annotation)
        if item is not None:
            return self._list(item, value, path, metadata)
        cls = nested(annotation)
        if cls is None:
            return self._plain(annotation, value, path, metadata)
        if not isinstance(value, dict):
            raise self._unfit(annotation, value, path, metadata, f"write [{path}]" if isinstance(value, list) else "")
        return self.settings(cls, value, path)

    def _list(self, item: object, value: object, path: str, metadata: Metadata) -> tuple[object, ...]:
        if not isinstance(value, list):
            remedy = f"write [[{path}]]" if nested(item) else "put it into [ ]"
            raise self._unfit(tuple[item, ...], value, path, metadata, remedy)  # type: ignore[valid-type]
        if len(value) < metadata.get("at_least", 0):
            raise self._unfit(tuple[item, ...], value, path, metadata, f"at least {metadata['at_least']}")  # type: ignore[valid-type]
        before = len(self.faults)
        values = tuple(self._entries(item, value, path, metadata))
        if len(self.faults) > before:
            raise _Unreadable
        return values

    def _entries(self, item: object, value: Iterable[object], path: str, metadata: Metadata) -> Iterator[object]:
        for position, entry in enumerate(value):
            try:
                yield self._value(item, entry, f"{path}[{position}]", metadata)
            except _Unreadable:
                continue

    def _plain(self, annotation: object, value: object, path: str, metadata: Metadata) -> object:
        try:
            return _kind(annotation).read(value, metadata, self._base)
        except Unfit as unfit:
            raise self._unfit(annotation, value, path, metadata, str(unfit)) from None

    def _unfit(self, annotation: object, value: object, path: str, metadata: Metadata, remedy: str) -> _Unreadable:
        text = f"found {_shown(value, path)}, expected {expected(annotation, metadata)}"
        self.faults.append(Fault(path, f"{text}; {remedy}" if remedy else text))
        return _Unreadable()

    def _own_rules(self, value: object, path: str) -> None:
        rules: Callable[[], Iterable[tuple[str, str]]] | None = getattr(value, "faults", None)
        if rules is not None:
            self.faults += [Fault(".".join(filter(None, (path, key))), text) for key, text in rules()]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a plain annotation takes: the words for it, and the function that reads it or raises Unfit."""

    phrase: Callable[[Metadata], str]
    read: Callable[[object, Metadata, Path], object]


def _read_text(value: object, metadata: Metadata, _base: Path) -> str:
    if not isinstance(value, str):
        raise Unfit("put it into quotes" if isinstance(value, int | float) else "")
    if _CONTROL.search(value):
        raise Unfit("take the control character out")
    _check_range(len(value), metadata)
    return value


def _read_whole(value: object, metadata: Metadata, _base: Path) -> int:
    if type(value) is not int:
        raise Unfit("")
    _check_range(value, metadata)
    return value


def _read_number(value: object, metadata: Metadata, _base: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit("")
    if abs(value) >= _LARGEST_SHOWN or not math.isfinite(value):
        raise Unfit("")
    _check_range(value, metadata)
    return float(value)


def _check_range(value: float, metadata: Metadata) -> None:
    if not metadata.get("min", -math.inf) <= value <= metadata.get("max", math.inf):
        raise Unfit("")


def _read_bool(value: object, _metadata: Metadata, _base: Path) -> bool:
    if not isinstance(value, bool):
        raise Unfit("without quotes" if isinstance(value, str) else "")
    return value


def _read_path(value: object, _metadata: Metadata, base: Path) -> Path:
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise Unfit("")
    return base / value


def _read_network(value: object, _metadata: Metadata, _base: Path) -> NETWORK:
    if not isinstance(value, str):
        raise Unfit("")
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise Unfit(_network_remedy(value)) from None


def _network_remedy(value: str) -> str:
    try:
        return f"the network of that address is {ipaddress.ip_network(value, strict=False)}"
    except ValueError:
        return ""


def _read_port_table(value: object, metadata: Metadata, base: Path) -> dict[str, int]:
    if not isinstance(value, dict):
        raise Unfit("")
    return {_read_text(key, {}, base): _read_whole(number, metadata, base) for key, number in value.items()}


def _range_phrase(noun: str, metadata: Metadata, unit: str = "") -> str:
    low, high = (
        format(metadata[bound], ",").removesuffix(".0") if bound in metadata else "" for bound in ("min", "max")
    )
    amount = f" {unit}" if unit else ""
    if low and high:
        return f"{noun} from {low} to {high}{amount}"
    if low or high:
        return f"{noun} of {low or high}{amount} or {'more' if low else 'less'}"
    return f"{noun} of{amount}" if unit else noun


def _text_phrase(metadata: Metadata) -> str:
    return _range_phrase("a text", metadata, "characters") if {"min", "max"} & set(metadata) else "a text"


_UNITS = {"s": "seconds"}


def _unit(metadata: Metadata) -> str:
    unit = str(metadata.get("unit", ""))
    return _UNITS.get(unit, unit)


_PLAIN: dict[object, _Kind] = {
    str: _Kind(_text_phrase, _read_text),
    int: _Kind(lambda metadata: _range_phrase("a whole number", metadata, _unit(metadata)), _read_whole),
    float: _Kind(lambda metadata: _range_phrase("a number", metadata, _unit(metadata)), _read_number),
    bool: _Kind(lambda _: "true or false", _read_bool),
    Path: _Kind(lambda _: "a file's path", _read_path),
    NETWORK: _Kind(lambda _: 'a network such as "192.0.2.0/24" or "2001:db8::/32"', _read_network),
    dict[str, int]: _Kind(lambda metadata: _range_phrase("a table of whole numbers", metadata), _read_port_table),
}


def _kind(annotation: object) -> _Kind:
    """The kind of a plain annotation; an annotation that settings may not use is a mistake in our code: TypeError."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if typing.get_origin(annotation) is typing.Literal:
        return _choice({str(word): word for word in typing.get_args(annotation)})
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _choice({str(member.value): member for member in annotation})
    inner = _without_none(annotation)
    if inner is None:
        raise TypeError(f"a settings class cannot have a key of type {annotation}")
    return _optional(_kind(inner))


def _choice(words: Mapping[str, object]) -> _Kind:
    """One word of a fixed list."""

    def read_word(value: object, _metadata: Metadata, _base: Path) -> object:
        if isinstance(value, str) and value in words:
            return words[value]
        near = difflib.get_close_matches(value.lower()[:LONGEST_SHOWN], words, n=1) if isinstance(value, str) else []
        raise Unfit(f"did you mean {json.dumps(near[0])}?" if near else "")

    return _Kind(lambda _: "one of " + ", ".join(json.dumps(word) for word in words), read_word)


def _optional(kind: _Kind) -> _Kind:
    """A value that may be left out; an empty text means the same as leaving it out."""

    def read_optional(value: object, metadata: Metadata, base: Path) -> object:
        return None if value == "" else kind.read(value, metadata, base)

    return _Kind(lambda metadata: f'{kind.phrase(metadata)}, or "" for none', read_optional)


def _without_none(annotation: object) -> object | None:
    if not isinstance(annotation, types.UnionType):
        return None
    rest = [part for part in typing.get_args(annotation) if part is not types.NoneType]
    return rest[0] if len(rest) == 1 else None


def _item(annotation: object) -> object | None:
    """The type of the entries of `tuple[X, ...]`."""
    arguments = typing.get_args(annotation)
    is_tuple = typing.get_origin(annotation) is tuple and len(arguments) == 2 and arguments[1] is ...
    return arguments[0] if is_tuple else None


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def join(path: str, key: str) -> str:
    """The path of `key` inside the table at `path`; a key that is not a bare TOML key is quoted and cut."""
    shown = key if len(key) <= LONGEST_SHOWN and _BARE_KEY.fullmatch(key) else json.dumps(key[:LONGEST_SHOWN])
    return f"{path}.{shown}" if path and not shown.startswith("[") else path + shown


def _last(metadata: Metadata) -> str:
    return str(metadata.get("name", "table"))


def _shown(value: object, path: str) -> str:
    """The value as a fault may print it."""
    if any(_SECRET.search(re.sub(r"\[\d+\]", "", part)) for part in path.split(".")):
        return "a value that is not shown"
    if isinstance(value, str):
        return json.dumps(value) if len(value) <= LONGEST_SHOWN else json.dumps(value[:LONGEST_SHOWN]) + "…"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return (
            f"{value}" if isinstance(value, float) or abs(value) < _LARGEST_SHOWN else "a number of more than 64 bits"
        )
    return _shown_shape(value)


def _shown_shape(value: object) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    return "a table" if isinstance(value, dict) else "a date or time"

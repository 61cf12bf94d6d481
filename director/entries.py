"""Shards whose backends the directory names, beside those of the configuration file.

The mirror hands over each entry as JSON: `{"name": "s1", "backends": [{"name", "host", "priority", "weight", "site",
"ports"}]}`. What an entry says is judged like the file, and an entry that cannot be used harms no shard but its own:

* a shard of the file goes before an entry of the same name;
* what was good before stays: an entry that has become unusable leaves its shard as it was, and one that claims a name
  which another shard has does not get it, whichever of the two comes first in the alphabet.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Final, NamedTuple

import msgspec

from director.sections import BackendSettings, ShardSettings
from director.shards import Shards, shard_faults
from director.shards import _key as spelling

MOST_BACKENDS: Final = 5000
"""Backends that entries may name in all; workers know all of them by heart."""

_LONGEST_NAME: Final = 255
"""Characters of what shows up in logs, metrics and the shared store again and again."""


class BadEntry(ValueError):
    """A shard's entry cannot be used; the text says why."""


class EntryFault(NamedTuple):
    """Why the entry of the shard called `shard` is not used as it stands."""

    shard: str
    text: str


class Merged(NamedTuple):
    """The shards of file and directory; `used` is those of the directory, by name."""

    shards: Shards
    used: Mapping[str, ShardSettings]
    faults: tuple[EntryFault, ...]


class _Stored(msgspec.Struct):
    """An entry as the mirror keeps it."""

    backends: tuple[BackendSettings, ...]


_decoder: Final = msgspec.json.Decoder(_Stored)


def read_shard(name: str, stored: str) -> ShardSettings:
    """Return the shard of this name from its entry's JSON. Raises BadEntry, with all faults of the first kind found."""
    try:
        shard = ShardSettings(name=name, backend=_decoder.decode(stored).backends)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise BadEntry(f"cannot be read: {error}") from None
    faults = [f"{key}: {text}" for key, text in (*_too_long("name", name), *shard.faults())]
    for backend in shard.backend:
        found = (*_too_long("name", backend.name), *_too_long("site", backend.site), *_out_of_range(backend))
        faults += [f"{backend.name[:_LONGEST_NAME]!r}: {key}: {text}" for key, text in (*found, *backend.faults())]
    if faults:
        raise BadEntry("; ".join(faults))
    return shard


def merge(
    configured: Sequence[ShardSettings],
    from_directory: Sequence[ShardSettings],
    former: Mapping[str, ShardSettings] | None = None,
) -> Merged:
    """Return the shards of the file and those of the directory that no name is ambiguous with.

    `former` is what was `used` last: such a shard keeps its former state rather than vanish. Entries' names differ.
    Raises ValueError for ambiguous names within the file.
    """
    former = former or {}
    wanted = {shard.name: shard for shard in from_directory}
    refused: dict[str, str] = {}
    while True:
        used, clashes = _fitting(configured, sorted(wanted.values(), key=_steadiest_first(former)))
        kept = {name: former[name] for name in clashes if name in former and wanted[name] != former[name]}
        if not kept:
            break
        wanted |= kept
        refused |= {name: clashes[name] for name in kept}
    faults = tuple(sorted(EntryFault(*fault) for fault in (clashes | refused).items()))
    return Merged(Shards((*configured, *used)), {shard.name: shard for shard in used}, faults)


class ShardEntries:
    """The shards of file and directory as they change."""

    def __init__(self, configured: Sequence[ShardSettings]) -> None:
        self._configured = tuple(configured)
        self._merged = Merged(Shards(self._configured), {}, ())

    @property
    def shards(self) -> Shards:
        """All shards; another object when any of them has changed."""
        return self._merged.shards

    @property
    def faults(self) -> tuple[EntryFault, ...]:
        """What is wrong with the entries as they are now, by shard."""
        return self._merged.faults

    def update(self, stored: Mapping[str, str]) -> bool:
        """Take over what the directory says now, JSON by the name of the shard; True when shards have changed."""
        former = self._merged.used
        found: list[ShardSettings] = []
        faults: list[EntryFault] = []
        for name in sorted(stored):
            try:
                found.append(read_shard(name, stored[name]))
            except BadEntry as fault:
                faults.append(EntryFault(name, str(fault)))
                if name in former:
                    found.append(former[name])
        merged = merge(self._configured, found, former)
        if changed := merged.used != former:
            self._merged = merged
        self._merged = self._merged._replace(faults=tuple(sorted((*faults, *merged.faults))))
        return changed


def _steadiest_first(former: Mapping[str, ShardSettings]) -> Callable[[ShardSettings], tuple[bool, str]]:
    """Order by which shards that are as they were come before those that have changed or are new."""
    return lambda shard: (former.get(shard.name) != shard, shard.name)


def _fitting(
    configured: Sequence[ShardSettings], entries: Sequence[ShardSettings]
) -> tuple[list[ShardSettings], dict[str, str]]:
    """Those entries that are unambiguous beside the file's shards and the entries before them; and why others not."""
    used: list[ShardSettings] = []
    clashes: dict[str, str] = {}
    in_file = {spelling(shard.name) for shard in configured}
    by_name: dict[str, list[ShardSettings]] = {}
    for shard in configured:
        _enter(by_name, shard)
    left = MOST_BACKENDS
    for shard in entries:
        clash = _clash(by_name, shard)
        if spelling(shard.name) in in_file:
            clashes[shard.name] = "is in the configuration file, too, which goes first"
        elif clash:
            clashes[shard.name] = clash
        elif len(shard.backend) > left:
            clashes[shard.name] = f"is left out: all entries together name more than {MOST_BACKENDS} backends"
        else:
            left -= len(shard.backend)
            used.append(shard)
            _enter(by_name, shard)
    return used, clashes


def _clash(by_name: Mapping[str, list[ShardSettings]], shard: ShardSettings) -> str:
    """What would be ambiguous with this shard; only those that share a name or a host with it matter."""
    sharing = {id(other): other for name in _names(shard) for other in by_name.get(name, ())}
    return next((text for _, text in shard_faults([*sharing.values(), shard])), "")


def _enter(by_name: dict[str, list[ShardSettings]], shard: ShardSettings) -> None:
    for name in _names(shard):
        by_name.setdefault(name, []).append(shard)


def _names(shard: ShardSettings) -> set[str]:
    """Everything that may stand for this shard."""
    values = [shard.name, *(value for backend in shard.backend for value in (backend.name, backend.host))]
    return {spelling(value) for value in values}


def _too_long(key: str, text: str) -> Sequence[tuple[str, str]]:
    return [(key, f"is longer than {_LONGEST_NAME} characters")] if len(text) > _LONGEST_NAME else []


def _out_of_range(backend: BackendSettings) -> Sequence[tuple[str, str]]:
    """Numbers beyond what the file may say; ports are judged by `faults`."""
    faults = []
    for each in fields(backend):
        value, limits = getattr(backend, each.name), each.metadata
        low, high = limits.get("min", value), limits.get("max", value)
        if isinstance(value, int) and not low <= value <= high:
            faults.append((each.name, f"{value} is not from {low} to {high}"))
    return faults

"""Where the users of a domain are searched, and who judges their passwords."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ldapmap.sections import DomainSettings, lowered
from ldapmap.settings import DirectorySettings


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name is searched.

    `number` is that of the base: places that share a base have the same. `suffix` ("@domain", of several domains that
    share a table the first) is put behind the user's name where only the part before it is searched for.
    """

    number: int
    base: str
    passthrough: bool
    suffix: str = ""


class Domains:
    """The places of all names: one for each domain that has a table of its own, one for all other names."""

    def __init__(self, settings: DirectorySettings) -> None:
        bases: dict[str, int] = {}
        number = bases.setdefault(settings.base, len(bases))
        self._usual = Place(number, settings.base, settings.auth == "passthrough")
        self._of: Mapping[str, Place] = {
            name: _place(settings, domain, bases) for domain in settings.domain for name in lowered(domain.names)
        }
        self.bases = tuple(bases)

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place, the one for all other names first."""
        return (self._usual, *self._of.values())

    def place(self, name: str) -> tuple[Place, str]:
        """Where a canonical name is searched, and what for."""
        if self._of and "@" in name:
            local, _, domain = name.partition("@")
            place = self._of.get(domain)
            if place is not None:
                return place, (local if place.suffix else name)
        return self._usual, name


def _place(settings: DirectorySettings, domain: DomainSettings, bases: dict[str, int]) -> Place:
    base = domain.base or settings.base
    passthrough = (domain.auth or settings.auth) == "passthrough"
    suffix = f"@{lowered(domain.names)[0]}" if domain.local_part else ""
    return Place(bases.setdefault(base, len(bases)), base, passthrough, suffix)

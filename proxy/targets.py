"""What an operator may name whose sessions are meant: a user, an address, a network, a backend, or all."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

from director import Refused
from ldapmap import InvalidName, canonical
from proxy.console import Console
from proxy.settings import Settings

Kind = Literal["all", "user", "address", "network", "backend"]

KICKABLE: tuple[Kind, ...] = ("user", "address", "backend")
LIMITED: tuple[Kind, ...] = ("user", "address")


@dataclass(frozen=True, slots=True)
class Target:
    """`text` is what the director is asked for."""

    kind: Kind
    text: str

    def one_of(self, *kinds: Kind) -> str:
        """The text, if it is of such a kind. Raises Refused."""
        if self.kind not in kinds:
            raise Refused(f"{self.text or 'nobody'}: name {_listed(kinds)}")
        return self.text


def find_target(text: str, settings: Settings, console: Console) -> Target:
    """What a word means: an address or network by its form, a backend by its name, a user by the rules for names.

    Raises `director.Unanswered`, `director.Refused`, and InvalidName for what can be none of these.
    """
    if not text:
        return Target("all", "")
    try:
        if "/" in text:
            return Target("network", str(ipaddress.ip_network(text, strict=False)))
        return Target("address", str(ipaddress.ip_address(text.strip("[]"))))
    except ValueError:
        pass
    if any(row["backend"] == text for row in console.rows("backends")):
        return Target("backend", text)
    return Target("user", canonical_user(text, settings))


def canonical_user(typed: str, settings: Settings) -> str:
    """The one spelling under which the director knows a user. Raises InvalidName.

    An alias is not followed: that would take the directory, which may be what is away.
    """
    if not typed.strip():
        raise InvalidName("empty")
    return canonical(typed, settings.directory.names)


def _listed(kinds: tuple[Kind, ...]) -> str:
    *first, last = (f"{'an' if kind == 'address' else 'a'} {kind}" for kind in kinds)
    return f"{', '.join(first)} or {last}"

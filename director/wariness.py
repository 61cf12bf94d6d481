"""What a worker keeps of failed logins and floods: whom to ask about before a password is tried, whom not to let in.

The director says so for a while, and the worker forgets it by itself. Nearly always there is nothing to keep, and then
asking costs nothing.
"""

from typing import Final, TypeVar

from director.limits import place
from director.recent import Recent

MOST: Final = 50_000
"""So many names and addresses are kept, about 250 bytes each; then those that were told first are forgotten."""

_K = TypeVar("_K")


class Wariness:
    """Names and addresses that the director has warned of; `now` is in seconds and does not go backwards."""

    def __init__(self, most: int = MOST) -> None:
        self._wary: Recent[tuple[str, str], float] = Recent(most)
        self._embargoes: Recent[str, float] = Recent(most)

    def beware(self, name: str, where: str, seconds: float, now: float) -> None:
        """For so long, ask about this name from there; "" is every name, or everywhere. `where` is a `limits.place`."""
        self._wary.keep((name, where), now + seconds)

    def shut_out(self, where: str, seconds: float, now: float) -> None:
        """For so long, let nobody in from there; `where` is a `limits.place`."""
        self._embargoes.keep(where, now + seconds)

    def asks(self, name: str, address: str, now: float) -> bool:
        """Whether the director wants to be asked before this name is tried from this address."""
        if not _some(self._wary, now):
            return False
        where = place(address)
        keys = ((name, where), (name, ""), ("", where), ("", ""))
        return any(self._wary.get(key, now) > now for key in keys)

    def lets_in(self, address: str, now: float) -> bool:
        """Whether a connection from this address may be taken."""
        return not _some(self._embargoes, now) or self._embargoes.get(place(address), now) <= now


def _some(table: Recent[_K, float], now: float) -> bool:
    """Whether anything is there, but what is over."""
    if table:
        table.sweep(lambda _, until: until <= now)
    return bool(table)

"""A mapping that strangers can fill, and that stays small."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")

_SWEPT: Final = 100
"""Most entries of a table that are forgotten at once."""


class Recent(OrderedDict[_K, _V]):
    """A mapping that keeps `most` keys: those written last."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: _K, value: _V) -> None:
        """Write a value, as the newest."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)

    def sweep(self, over: Callable[[_K, _V], bool]) -> None:
        """Forget some of the oldest that are over: those up to the first that is not."""
        for _ in range(_SWEPT):
            key = next(iter(self), None)
            if key is None or not over(key, self[key]):
                break
            del self[key]

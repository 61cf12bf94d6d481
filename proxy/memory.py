"""Memory that the C library keeps after many sessions have ended, given back to the system."""

from __future__ import annotations

import ctypes

#: After so many ended sessions it is worth while: each had about 14 KiB in OpenSSL's structures.
_ENOUGH = 500
#: After so many if no other has ended since the last sweep: the end of many is seldom a multiple of `_ENOUGH`.
_SOME = 50


class Trimmer:
    """Counts ended sessions and calls glibc's `malloc_trim` when there have been many; elsewhere it does nothing."""

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._ended = self._before = 0

    def ended(self) -> None:
        """A session has ended."""
        self._ended += 1

    def sweep(self) -> bool:
        """Trim if it is worth while; whether it was. To be called in equal intervals."""
        quiet, self._before = self._ended == self._before, self._ended
        if self._ended < (_SOME if quiet else _ENOUGH) or self._trim is None:
            return False
        self._ended = self._before = 0
        self._trim(0)
        return True

"""The name of a process, as `ps` and `top` show it. It never holds anything but what is written here."""

from __future__ import annotations

import ctypes

_SET_NAME = 15
_LONGEST = 15


def name_process(name: str) -> None:
    """Call this process so; at most 15 characters (prctl(2), PR_SET_NAME). Works without any right over /proc."""
    ctypes.CDLL(None).prctl(_SET_NAME, ctypes.c_char_p(name.encode()[:_LONGEST]), 0, 0, 0)

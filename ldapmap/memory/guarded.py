"""Memory for secrets: shared with processes that inherit it, in no dump and, where that is allowed, never in swap.

Linux only, like the rest of the daemon: madvise(2) MADV_DONTDUMP, mlock(2), prctl(2) PR_SET_DUMPABLE.
"""

from __future__ import annotations

import ctypes
import mmap

_GET_DUMPABLE, _SET_DUMPABLE = 3, 4
_libc = ctypes.CDLL(None, use_errno=True)


def guarded(size: int) -> mmap.mmap:
    """An anonymous shared mapping of `size` bytes, all zero, that core dumps leave out. Made before the fork."""
    memory = mmap.mmap(-1, size)
    memory.madvise(mmap.MADV_DONTDUMP)
    return memory


def lock(memory: mmap.mmap) -> bool:
    """Keep it out of swap; False when RLIMIT_MEMLOCK forbids it. It holds as long as this process lives and maps it."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return bool(_libc.mlock(ctypes.c_void_p(start), ctypes.c_size_t(len(memory))) == 0)


def dumpable(allowed: bool) -> bool:
    """Whether this process may dump core and be read or traced by others of the same user; returns what it was.

    Children inherit it; becoming another user withdraws it in any case (prctl(2)).
    """
    was = bool(_libc.prctl(_GET_DUMPABLE, 0, 0, 0, 0) == 1)
    if was != allowed:
        _libc.prctl(_SET_DUMPABLE, int(allowed), 0, 0, 0)
    return was

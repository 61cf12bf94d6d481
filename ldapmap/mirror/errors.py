"""Why a mirror's file or a refresh of it is not used.

MirrorError
├── Unusable        a file that must not be opened or belongs to other settings
├── Full            a transaction did not fit; it is undone, the file may grow now: do it again
├── ReloadNeeded    the server cannot tell what changed since our cookie: load anew, or ask another server
└── PurgeRefused    more would vanish than an operator allowed without a word
"""

from __future__ import annotations


class MirrorError(Exception):
    """`reason` is for the log and the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unusable(MirrorError):
    """The file is missing, cut off, damaged, from before a power failure, or made with other settings."""


class Full(MirrorError):
    """The transaction found no room and is undone. There is more room now, so the same again will succeed."""


class ReloadNeeded(MirrorError):
    """4096 (RFC 4533 section 2.7), or 53 from a server that is behind our cookie."""


class PurgeRefused(MirrorError):
    """The comparison with the server would remove `count` of `total` entries."""

    def __init__(self, count: int, total: int) -> None:
        super().__init__(f"{count} of {total} entries would vanish at once; an operator has to say that it is meant")
        self.count = count
        self.total = total

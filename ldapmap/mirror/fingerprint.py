"""What of the settings shapes the mirror's records, as a digest."""

from __future__ import annotations

import hashlib
import unicodedata

from ldapmap.settings import DirectorySettings

_FORMAT = 1
"""Changes with the form of the tables and with what `EntryReader` makes of the same entry."""

_WHOLE = ("base", "scope", "filter", "bind_dn", "attributes", "names", "rule", "protocols", "shards")


def fingerprint(settings: DirectorySettings) -> bytes:
    """32 bytes; a file that was made with others is not used.

    Who searches is part of it, because it decides what can be seen; which servers are asked is not.
    """
    shaped = [
        _FORMAT,
        unicodedata.unidata_version,  # names are compared by its tables
        settings.follow.method,  # decides what an entry's id is
        settings.follow.deleted_base,
        *(getattr(settings, name) for name in _WHOLE),
        *(domain.base for domain in settings.domain),
    ]
    return hashlib.sha256(repr(shaped).encode()).digest()

"""Cookies of content synchronisation (RFC 4533 section 2.1.2): opaque, except that OpenLDAP's have to be merged.

An OpenLDAP cookie is `rid=001,sid=002,csn=A;B`: per server id the change sequence number (CSN) up to which everything
was sent. While changes are followed, a cookie names only the server id that has changed. Stored as it is, the others
would be lost, and the next provider would send everything again; so each keeps its latest CSN.
"""

from __future__ import annotations

import re

_CSN = re.compile(rb"\d{14}\.\d{6}Z#[0-9a-fA-F]{6}#([0-9a-fA-F]{3})#[0-9a-fA-F]{6}")
_FIELD = re.compile(rb"[a-z]+=[^,]*")
_MOST_SERVERS = 4096
"""A server id has 12 bits."""


def merged(old: bytes, new: bytes) -> bytes:
    """The cookie to keep when `new` has come and `old` was kept. Cookies of others are taken as they are."""
    fields, latest = _parsed(new)
    if fields is None:
        return new
    known = _parsed(old)[1]
    for server, csn in known.items():
        latest[server] = max(csn, latest.get(server, csn))
    if not latest:
        return new
    listed = b";".join(latest[server] for server in sorted(latest))
    return b",".join([*fields, b"csn=" + listed])


def _parsed(cookie: bytes) -> tuple[list[bytes] | None, dict[bytes, bytes]]:
    """The fields but for the CSNs, and the latest CSN of every server id. None: not a cookie of OpenLDAP's."""
    parts = cookie.split(b",")
    latest: dict[bytes, bytes] = {}
    fields = []
    for part in parts:
        if not part.startswith(b"csn="):
            fields.append(part)
            continue
        for csn in part[4:].split(b";"):
            found = _CSN.fullmatch(csn)
            if found is None or len(latest) > _MOST_SERVERS:
                return None, {}
            server = found[1].lower()
            latest[server] = max(csn, latest.get(server, csn))
    if not fields or not fields[0].startswith(b"rid=") or not all(map(_FIELD.fullmatch, fields)):
        return None, {}
    return fields, latest

"""What a stranger may send before login, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _bytes(default: int, doc: str, *, least: int = 1) -> Any:
    return field(default=default, metadata={"doc": doc, "unit": "bytes", "min": least})


def _count(default: int, doc: str, *, least: int = 1) -> Any:
    return field(default=default, metadata={"doc": doc, "min": least})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the dialogues with clients and backends; the defaults are Dovecot's constants where it has one."""

    line: int = _bytes(8192, "Longest command line of a client before login; longer ends the connection.", least=512)
    tag: int = _bytes(126, "Longest IMAP tag; a longer one is a bad command.")
    literal: int = _bytes(8192, "Longest IMAP or ManageSieve literal before login; a longer one is refused unread.")
    sasl: int = _bytes(12288, "Longest SASL response in base64; OAuth tokens are the long ones.", least=512)
    bad_commands: int = _count(3, "Bad commands after which the connection ends.")
    id_pairs: int = _count(30, "Pairs in a client's IMAP ID command (RFC 2971 section 3.3).")
    id_key: int = _bytes(30, "Longest key in an IMAP ID command (RFC 2971 section 3.3).")
    id_value: int = _bytes(1024, "Longest value in an IMAP ID command (RFC 2971 section 3.3).")
    backend_line: int = _bytes(8192, "Longest line of a backend before login; longer is a protocol failure.", least=512)
    backend_lines: int = _count(100, "Lines a backend may send before it answers the login.")
    proxy_ttl: int = _count(7, "Proxies a login may pass through before it is taken for a loop.")

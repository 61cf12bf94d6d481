"""What the settings say about connections: how to reach a server, and as whom."""

from __future__ import annotations

import ssl
from pathlib import Path

from ldapmap.client.address import parse_address
from ldapmap.client.connection import Identity, Target
from ldapmap.settings import DirectorySettings


def target_for(url: str, settings: DirectorySettings, context: ssl.SSLContext | None) -> Target:
    """How to reach a server. Raises ValueError when TLS is wanted and there is no context."""
    address = parse_address(url)
    needs_tls = address.scheme == "ldaps" or settings.starttls
    if needs_tls and context is None:
        raise ValueError(f"{url} needs a TLS context")
    return Target(
        address=address,
        context=context if needs_tls else None,
        starttls=settings.starttls,
        connect_timeout=settings.connect_timeout,
        message_limit=settings.message_limit,
        search_outstanding=settings.search_outstanding,
        queue_limit=settings.queue_limit,
    )


def read_identity(settings: DirectorySettings) -> Identity | None:
    """The service identity, its password read from the file; None: search anonymously."""
    if not settings.bind_dn:
        return None
    if settings.bind_password_file is None:
        raise ValueError("bind_dn needs bind_password_file")
    password = read_password(settings.bind_password_file)
    return Identity(settings.bind_dn.encode(), password)


def read_password(path: Path) -> bytes:
    """The file's contents without one line break at the end. Raises OSError, or ValueError for an empty one."""
    password = path.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise ValueError(f"{path} is empty: a bind without a password would be anonymous")
    return password

"""How the connections to the directory servers are doing, for metrics and for operators."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as one process sees it; numbers are of now."""

    url: str
    down: bool
    """It did not answer the last time and is passed over."""
    bind_open: int
    bind_busy: int
    bind_waiting: int
    """Logins that wait for a free connection."""
    searches: int
    """Searches in progress."""
    search_waiting: int


@dataclass(frozen=True, slots=True)
class DirectoryStatus:
    """All servers, in the order of the settings; none for a directory in a file."""

    servers: tuple[ServerStatus, ...]

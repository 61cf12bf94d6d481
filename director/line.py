"""The line between a worker and the director of its node: bytes each way, over a Unix stream socket."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias, cast

MAX_UNSENT: Final = 64 * 1024 * 1024
"""Bytes that wait for the director to read, ten times what 50,000 sessions announce; who lets more pile up hangs."""


class Line(Protocol):
    """A way to the director."""

    def send(self, data: bytes) -> None:
        """Say it, without waiting; after the end this does nothing."""
        ...

    def close(self) -> None:
        """Say no more. The end is told to the `Ear`."""
        ...


class Ear(Protocol):
    """Who listens on a line."""

    def heard(self, data: bytes) -> None:
        """The director has said this, or a part of it."""
        ...

    def lost(self) -> None:
        """The line has ended; told once."""
        ...


Dial: TypeAlias = Callable[[str, Ear], Awaitable[Line]]
"""Makes a line to the socket of this name. Raises OSError when nobody is there."""


async def dial(path: str, ear: Ear) -> Line:
    """A line over the Unix stream socket at `path`. Raises OSError."""
    _, stream = await asyncio.get_running_loop().create_unix_connection(lambda: _Stream(ear), path)
    return stream


class _Stream(asyncio.Protocol):
    """One connection; nothing is kept between two reads."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=MAX_UNSENT)

    def data_received(self, data: bytes) -> None:
        self._ear.heard(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ear.lost()

    def pause_writing(self) -> None:
        """The director hangs: whoever follows it hears everything anew."""
        self._transport.abort()

    def send(self, data: bytes) -> None:
        """Say it, without waiting."""
        self._transport.write(data)

    def close(self) -> None:
        """Say no more; what has been said still arrives."""
        self._transport.close()

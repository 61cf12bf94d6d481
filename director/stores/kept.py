"""The store of a node that is alone, with a file for what has to outlive it: the operator's words about backends."""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import DecodeError
from msgspec.json import decode, encode

from director.stores.memory import MemoryStore

_LONGEST: Final = 16 * 1024 * 1024
"""Bytes; a longer file is none of ours."""

_logger = logging.getLogger("vestibule.director")


class KeptStore(MemoryStore):
    """A MemoryStore that reads `path` when it starts, and writes it whenever there is another word.

    A file that cannot be read or written is told in the log and harms nothing else.
    """

    def __init__(self, clock: Callable[[], float], path: Path) -> None:
        super().__init__(clock)
        self._path = path
        self._writing = asyncio.Lock()

    async def start(self) -> None:
        """See Store: with what was kept."""
        for backend, state in _read(self._path).items():
            await super().set_admin(backend, state)

    async def set_admin(self, backend: str, state: str) -> None:
        """See Store."""
        await super().set_admin(backend, state)
        async with self._writing:
            try:
                await asyncio.to_thread(_write, self._path, encode(self.admin))
            except OSError as error:
                _logger.warning(
                    "%s: which backends are on standby or offline cannot be kept, and a restart will forget it: %s",
                    self._path,
                    error.strerror,
                )


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST)
        return decode(text, type=dict[str, str]) if text else {}
    except FileNotFoundError:
        return {}
    except (OSError, DecodeError) as error:
        _logger.warning("%s: which backends were on standby or offline is not known: %s", path, error)
        return {}


def _write(path: Path, text: bytes) -> None:
    """Replace the file as a whole; where no other may be made beside it, write into it. Raises OSError."""
    temporary = path.with_name(f"{path.name}.new")
    try:
        _put(temporary, text)
    except PermissionError:
        _put(path, text)
        return
    try:
        temporary.rename(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def _put(path: Path, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(text)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())

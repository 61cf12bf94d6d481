"""Whether a file was left by a power failure: nothing is flushed while it is written, so it may then be anything.

Beside an open file lies a mark with the id of the running system (`mirror-1.mdb.open`). It is on the disk before the
first write, and goes when everything is flushed. It is not kept in the file, since a file that may be anything must not
be opened to find that out.
"""

from __future__ import annotations

import os
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """What is different after the system has started again."""
    return BOOT_ID.read_text().strip()


def mark_of(path: Path) -> Path:
    return path.with_name(path.name + ".open")


def mark(path: Path) -> None:
    """The file at `path` may be written from now on."""
    with mark_of(path).open("w") as file:
        file.write(boot_id())
        file.flush()
        os.fsync(file.fileno())
    _flush(path.parent)


def unmark(path: Path) -> None:
    """Everything of the file at `path` is on the disk."""
    mark_of(path).unlink(missing_ok=True)
    _flush(path.parent)


def survived(path: Path) -> bool:
    """No power failed while the file was open."""
    try:
        return mark_of(path).read_text() == boot_id()
    except FileNotFoundError:
        return True


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

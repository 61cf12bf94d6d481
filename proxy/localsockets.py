"""Listening Unix sockets in the run directory: for the workers and for operators, made and kept by the supervisor.

A director that dies is replaced, and finds whoever wanted it waiting in the queue.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from proxy import privileges
from proxy.settings import NodeSettings

DIRECTOR = "director.sock"
CONTROL = "control.sock"

_LONGEST = 107
"""Bytes of a path: sun_path, unix(7)."""

_BACKLOG = 1024

_PATIENCE = 3.0
"""Seconds until a daemon that has lost its supervisor has noticed that, and listens no more."""

_PAUSE = 0.1


class Occupied(OSError):
    """Another daemon listens there."""


class LocalSockets(NamedTuple):
    """Where workers find the director, and where operators do."""

    director: socket.socket
    control: socket.socket

    def close(self) -> None:
        """Nobody is let in any more by this process."""
        for sock in self:
            sock.close()

    def remove(self) -> None:
        """The daemon ends: they are not to be found any more."""
        for sock in self:
            with suppress(OSError):
                os.unlink(sock.getsockname())


def open_local_sockets(node: NodeSettings) -> LocalSockets:
    """Both, in the run directory; raises OSError."""
    return LocalSockets(open_local(node.run_dir / DIRECTOR, node), open_local(node.run_dir / CONTROL, node))


def open_local(path: Path, node: NodeSettings, pause: Callable[[float], object] = time.sleep) -> socket.socket:
    """Return a socket that listens at `path`, for the unprivileged user alone (and root) at every moment.

    What a dead daemon has left there is replaced. Raises OSError; Occupied for what a living one listens at.
    """
    if len(os.fsencode(path)) > _LONGEST:
        raise OSError(errno.ENAMETOOLONG, f"a socket's path has at most {_LONGEST} bytes; set node.run_dir", str(path))
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _clear(path, pause)
    listening = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listening.bind(str(path))
        ids = privileges.unprivileged(node)
        if ids is not None:
            os.chown(path, *ids, follow_symlinks=False)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    finally:
        os.umask(mask)
    return listening


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is there now: another after each start of a daemon."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _clear(path: Path, pause: Callable[[float], object]) -> None:
    """Take away what nobody listens at any more; raises OSError when somebody does, or when it is no socket."""
    until = time.monotonic() + _PATIENCE
    while _listens(path):
        if time.monotonic() >= until:
            raise Occupied(errno.EADDRINUSE, "another vestibule runs here; set another node.run_dir", str(path))
        pause(_PAUSE)
    path.unlink(missing_ok=True)


def _listens(path: Path) -> bool:
    """Whether somebody does. Raises OSError for a file that is no socket, which is not ours to take away."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "something that is no socket is in the way", str(path))
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            probe.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except (TimeoutError, BlockingIOError):  # its queue is full
        return True
    return True

"""Programs that tests start: found, run as an ordinary user, ended with everything they started."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .wait import wait_until


class MissingPackage(Exception):
    """A program that a starter needs is not installed; the text names the Debian package."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a server runs as: ourselves, or `nobody` when we are root, so that one configuration serves both."""

    user: str
    group: str
    uid: int
    gid: int


def service_account() -> Account:
    """The unprivileged account for servers."""
    entry = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return Account(entry.pw_name, grp.getgrgid(entry.pw_gid).gr_name, entry.pw_uid, entry.pw_gid)


def program(name: str, package: str) -> str:
    """The path of a program; `sbin` is not in an ordinary user's PATH. Raises MissingPackage."""
    path = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if path is None:
        raise MissingPackage(f"Debian package {package} is not installed ({name} not found)")
    return path


def short_folder(prefix: str) -> Path:
    """A new folder with a short name (a socket's path holds 107 bytes), owned by the service account."""
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir="/tmp"))
    give_away(folder)
    return folder


def give_away(path: Path) -> None:
    """Let the service account own `path` (nothing to do unless we are root)."""
    if os.geteuid() == 0:
        account = service_account()
        os.chown(path, account.uid, account.gid)


def start(command: Sequence[str], log: Path, *, as_service: bool = True) -> subprocess.Popen[bytes]:
    """Start a server in a process group of its own, both its outputs appended to `log`, in whose folder it runs."""
    account = service_account() if as_service and os.geteuid() == 0 else None
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def stop_group(process: subprocess.Popen[bytes], patience: float = 10.0) -> None:
    """End `process` and everything in its group: SIGTERM, then SIGKILL. Returns when none of it is left."""
    _signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not group_members(process.pid), "the process group to end", 2.0)
    kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End `process` and its group at once, as a power failure would."""
    _signal_group(process, signal.SIGKILL)
    process.wait(10.0)
    wait_until(lambda: not group_members(process.pid), f"the process group {process.pid} to end")


def group_members(group: int) -> list[int]:
    """The living processes of a process group; zombies, which only wait to be asked for their status, left out."""
    return [pid for pid, state, _, its_group in _processes() if its_group == group and state != "Z"]


def children(parent: int) -> list[int]:
    """The living children of a process."""
    return [pid for pid, state, its_parent, _ in _processes() if its_parent == parent and state != "Z"]


def title(pid: int) -> str:
    """The name a process has given itself, or its program's; empty when it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _processes() -> Iterator[tuple[int, str, int, int]]:
    """(pid, state, parent, process group) of every process; see proc(5)."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                state, parent, group = (folder / "stat").read_text().rpartition(") ")[2].split()[:3]
                yield int(folder.name), state, int(parent), int(group)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)

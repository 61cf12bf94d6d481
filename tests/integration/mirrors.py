"""Mirrors of real servers, run inside the test or in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from ldapmap import DirectorySettings
from ldapmap.mirror.control import ask
from ldapmap.mirror.fingerprint import fingerprint
from ldapmap.mirror.mirror import Mirror
from ldapmap.mirror.routes import Routes
from ldapmap.sections import FollowSettings

from .slapd import Slapd
from .wait import DEADLINE_SECONDS, wait_until

HEARTBEAT_SECONDS = 0.25
ANSWER_SECONDS = 1.0


def settings_for(*servers: Slapd, trust: float = 60.0, purge_limit: float = 10.0, **changes: Any) -> DirectorySettings:
    """What follows these servers, the first first."""
    first = servers[0]
    given: dict[str, Any] = {
        "servers": tuple(server.ldap for server in servers),
        "base": first.people,
        "filter": "(objectClass=inetOrgPerson)",
        "bind_dn": first.service_dn,
        "bind_password_file": first.password_file,
        "operation_timeout": ANSWER_SECONDS,
        "follow": FollowSettings(heartbeat=HEARTBEAT_SECONDS, retry=0.5, trust=trust, purge_limit=purge_limit),
        **changes,
    }
    return DirectorySettings(kind="ldap", **given)


class Running:
    """A mirror that runs, its readers' view of it, and whose passwords were forgotten."""

    def __init__(self, settings: DirectorySettings, path: Path, context: ssl.SSLContext | None) -> None:
        self.path = path
        self.forgotten: list[str] = []
        self.mirror = Mirror(
            settings,
            context,
            path,
            forget=self.forgotten.append,
            forget_all=lambda: self.forgotten.append("everybody"),
        )
        self.routes = Routes(path, fingerprint=fingerprint(settings), trust=settings.follow.trust)
        self.task = asyncio.get_running_loop().create_task(self.mirror.run())

    def shard(self, user: str, base: int = 0) -> str | None:
        """Where readers find the mail of this user below this base now; None: nowhere."""
        self.routes.look()
        entry = self.routes.find(base, user)
        return None if entry is None else entry.shard

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Let it run until this holds."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not condition():
                    if self.task.done():
                        self.task.result()
                    await asyncio.sleep(0)
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what or condition}: {self.mirror.status()}") from None

    async def follows(self, server: Slapd | None = None) -> None:
        """Let it run until it is in step, with this server if one is named."""
        await self.until(
            lambda: (
                self.mirror.status().state == "following" and (not server or self.mirror.status().server == server.ldap)
            )
        )


@contextlib.asynccontextmanager
async def mirrored(
    settings: DirectorySettings, path: Path, context: ssl.SSLContext | None = None
) -> AsyncIterator[Running]:
    """A mirror, stopped in an orderly way at the end of the block."""
    running = Running(settings, path, context)
    try:
        yield running
    finally:
        running.routes.close()
        running.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running.task


_PROCESS = """\
import asyncio, json, sys
from pathlib import Path
from ldapmap import DirectorySettings
from ldapmap.mirror.mirror import Mirror
from ldapmap.sections import FollowSettings
given = json.loads(sys.argv[1])
given["bind_password_file"] = Path(given["bind_password_file"])
given["follow"] = FollowSettings(**given["follow"])
given["servers"] = tuple(given["servers"])
asyncio.run(Mirror(DirectorySettings(**given), None, Path(sys.argv[2])).run())
"""


@contextlib.contextmanager
def mirroring_process(settings: DirectorySettings, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The same in a process of its own that is in step when the block begins; it is killed at its end."""
    given = {
        "kind": "ldap",
        "servers": settings.servers,
        "base": settings.base,
        "filter": settings.filter,
        "bind_dn": settings.bind_dn,
        "bind_password_file": str(settings.bind_password_file),
        "operation_timeout": settings.operation_timeout,
        "follow": {"heartbeat": settings.follow.heartbeat, "retry": settings.follow.retry},
    }
    process = subprocess.Popen([sys.executable, "-c", _PROCESS, json.dumps(given), str(path)])
    try:
        wait_until(lambda: follows(path), "the mirror's process")
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


def follows(path: Path) -> bool:
    """Whether the process that keeps this mirror says that it is in step."""
    with contextlib.suppress(Exception):
        return bool(ask(path, "status")["state"] == "following")
    return False

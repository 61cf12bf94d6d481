"""How soon a user's sessions and the next login follow a change of the user's entry in the directory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack

from loadtest.director_backend import BackendProcess
from loadtest.director_client import Front, come_in, log_in
from loadtest.director_failover import spread
from loadtest.director_site import daemon, directory, follow
from loadtest.editor import Editor
from loadtest.figures import Figure
from loadtest.people import PASSWORD, dn, uid
from loadtest.slapd import ROOT_DN, ROOT_PASSWORD

SESSIONS = 10
"""Of each user, in IDLE."""

OLD, NEW = "old", "new"


def route_figures(run: Callable[..., object], users: int) -> list[Figure]:
    """So many users one after the other; `run` runs a coroutine. Raises SlapdFailed, and OSError."""
    with ExitStack() as stack:
        backends = [stack.enter_context(BackendProcess(name)) for name in (f"{OLD}-a", f"{NEW}-a")]
        shards = {OLD: backends[:1], NEW: backends[1:]}
        server = stack.enter_context(directory(users, shards))
        site = stack.enter_context(daemon(follow(server)))
        site.wait_for(backends)
        editor = stack.enter_context(Editor(server.socket, ROOT_DN, ROOT_PASSWORD))
        found: list[tuple[float, float, float]] = []
        run(_measure(site.front, editor, users, backends[1].name, found))
    left, landed, wait = zip(*found, strict=True)
    how = f"from the answer to the change, {SESSIONS} sessions in IDLE; {users} users"
    return [
        *spread("route: last session left", left, "<= 2", how),
        *spread("route: next login is in", landed, "", "sent at the answer, again if it came to the old backend"),
        *spread("route: that login's own wait", wait, "", "of the one that came to the new backend"),
    ]


async def _measure(front: Front, editor: Editor, users: int, new: str, found: list[tuple[float, float, float]]) -> None:
    for number in range(users):
        found.append(await _follow(front, editor, number, new))


async def _follow(front: Front, editor: Editor, number: int, new: str) -> tuple[float, float, float]:
    """Seconds until the last session has left, until a login is at the new backend, and that login's own."""
    user = uid(number)
    sessions = [await log_in(front, user, PASSWORD) for _ in range(SESSIONS)]
    for session in sessions:
        await session.idle()
    editor.replace(dn(number), "mailHost", NEW)
    began = time.monotonic()
    watches = [asyncio.create_task(session.end()) for session in sessions]
    back = await come_in(front, user, PASSWORD, at=new)
    landed = time.monotonic()
    await asyncio.gather(*watches)
    left = max([began, *(session.ended for session in sessions)]) - began
    await back.session.log_out()
    return left, landed - began, back.last

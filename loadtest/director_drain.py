"""How long it takes until everybody has left a backend with thousands of users, by an order and by the directory."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from director import DirectorSettings
from loadtest import descriptors
from loadtest.director_backend import BackendProcess
from loadtest.director_client import Front, Return, Session, come_in, log_in
from loadtest.director_site import Daemon, backend_value, daemon, directory, follow, shard_dn
from loadtest.editor import Editor
from loadtest.figures import Figure, percentile
from loadtest.people import PASSWORD, uid
from loadtest.slapd import ROOT_DN, ROOT_PASSWORD

AT_ONCE = 64
"""Logins under way while users arrive."""

LONGEST = 90.0
"""Seconds after which whoever has not left counts as staying."""

LOOK = 0.25
"""Seconds between two looks at the director's lists, so that is how exact they are."""

SHARD = "s1"

ASSIGN_WAIT = DirectorSettings().assign_wait


@dataclass(slots=True)
class Exodus:
    """What was seen of one; times are seconds from its beginning, None: that did not come."""

    name: str
    moved: float | None = None
    left: list[float] = field(default_factory=list)
    returns: list[Return] = field(default_factory=list)
    out: int = 0
    """Clients that were not let in again in the end."""
    cpu: dict[str, float] = field(default_factory=dict)


def drain_figures(run: Callable[..., object], users: int, sessions: int) -> list[Figure]:
    """So many users of whom so many have a session; `run` runs a coroutine. Raises SlapdFailed, and OSError."""
    descriptors.allow()
    with ExitStack() as stack:
        first, second = (stack.enter_context(BackendProcess(name, backlog=4096)) for name in ("mb1a", "mb1b"))
        server = stack.enter_context(directory(users, {SHARD: [first, second]}))
        site = stack.enter_context(daemon(follow(server)))
        site.wait_for((first, second))
        editor = stack.enter_context(Editor(server.socket, ROOT_DN, ROOT_PASSWORD))
        seen: list[Exodus] = []

        async def measure() -> None:
            clients = await _arrive(site.front, users, sessions)
            drained = Exodus("drain")
            await _leave(site, drained, f"drain {first.name}", users, clients, lambda: _drain(site, first))
            changed = Exodus("shard's entry changed")
            await asyncio.to_thread(site.order, "online", first.name)
            await _leave(site, changed, "routes", users, clients, lambda: _change(editor, first))
            for session in clients.values():
                session.client.close()  # or the daemon would give them time to end
            seen.extend((drained, changed))

        run(measure())
        return [figure for exodus in seen for figure in _figures(exodus, users, sessions)]


def _drain(site: Daemon, backend: BackendProcess) -> float:
    """Give the order; the time it was given."""
    began = time.monotonic()
    site.order("drain", backend.name, "--yes")
    return began


def _change(editor: Editor, backend: BackendProcess) -> float:
    """Let this be the shard's only backend; the time of the directory's answer."""
    editor.replace(shard_dn(SHARD), "description", backend_value(backend))
    return time.monotonic()


async def _arrive(front: Front, users: int, sessions: int) -> dict[str, Session]:
    """Everybody logs in; the first `sessions` of them stay, in IDLE."""
    waiting, staying = iter(range(users)), dict[str, Session]()

    async def arrive() -> None:
        for number in waiting:
            session = await log_in(front, uid(number), PASSWORD)
            if number < sessions:
                await session.idle()
                staying[uid(number)] = session
            else:
                await session.log_out()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(arrive())
    return staying


async def _leave(
    site: Daemon, exodus: Exodus, job: str, users: int, clients: dict[str, Session], order: Callable[[], float]
) -> None:
    """Everybody leaves; a client whose session ends goes in again at once. `clients` gets the new sessions."""
    old, before = list(clients.values()), await asyncio.to_thread(site.cpu)
    coming = {user: asyncio.create_task(_come_back(site.front, user, session)) for user, session in clients.items()}
    began = await asyncio.to_thread(order)
    while time.monotonic() < began + LONGEST:
        if exodus.moved is None and await asyncio.to_thread(_is_over, site, job, users):
            exodus.moved = time.monotonic() - began
        if exodus.moved is not None and all(task.done() for task in coming.values()):
            break
        await asyncio.sleep(LOOK)
    exodus.cpu = {kind: spent - before[kind] for kind, spent in (await asyncio.to_thread(site.cpu)).items()}
    exodus.left = [session.ended - began for session in old if session.ended]
    for user, task in coming.items():
        if task.done() and task.exception() is None:
            exodus.returns.append(task.result())
            clients[user] = task.result().session
        else:
            task.cancel()
            exodus.out += 1


async def _come_back(front: Front, user: str, session: Session) -> Return:
    await session.end()
    back = await come_in(front, user, PASSWORD)
    await back.session.idle()
    return back


def _is_over(site: Daemon, job: str, users: int) -> bool:
    """Whether the director has moved so many users in this job."""
    rows = [row for row in site.ask(ask="moves") if row["job"] == job]
    return sum(int(row["over"].get("moved", 0)) for row in rows) >= users


def _figures(exodus: Exodus, users: int, sessions: int) -> Iterator[Figure]:
    name = f"{exodus.name}"
    how = f"{users:,} users, {sessions:,} of them with a session in IDLE, default settings"
    yield Figure(f"{name}: everybody moved", exodus.moved or math.inf, "s", "<= 60", how)
    yield Figure(f"{name}: last session left", max(exodus.left, default=math.inf), "s", "<= 60", "by its client")
    how = "their clients had not come in again in the end"
    yield Figure(f"{name}: sessions that stayed", sessions - len(exodus.left), "sessions", "0", "")
    yield Figure(f"{name}: clients left out", exodus.out, "clients", "0", how)
    seconds = [back.seconds for back in exodus.returns]
    how = f"from a session's end until its client was in again, which came at once; {len(seconds):,} of them"
    yield Figure(f"{name}: out, p50", percentile(seconds, 50), "s", "", how)
    yield Figure(f"{name}: out, longest", max(seconds, default=0.0), "s", f"<= {ASSIGN_WAIT:g}", "the same")
    refusals = [refusal for back in exodus.returns for refusal in back.refusals]
    said = "; ".join(sorted({text for _, text in refusals})[:3])
    yield Figure(f"{name}: refused logins", len(refusals), "logins", "", said or "none")
    early = sum(waited < ASSIGN_WAIT for waited, _ in refusals)
    yield Figure(f"{name}: refused too early", early, "logins", "0", f"that had waited less than {ASSIGN_WAIT:g} s")
    how = "from the beginning until everybody was in again"
    for kind in ("director", "workers"):
        yield Figure(f"{name}: {kind}", exodus.cpu.get(kind, 0.0), "s CPU", "", how)

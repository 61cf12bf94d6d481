"""The director's process: one for each node, which says where users go, for all workers of the node.

It outlives nobody who needs it: told to stop, it waits until the workers have gone, so that what they held is given
back in order; without a supervisor, it serves the workers that are left, as they serve their sessions.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import uvloop

from director import MEMORY, Backend, Console, Core, Desk, Gate, Service, Shards, figures, near_store, open_store
from proxy import privileges
from proxy.dispatcher import Dispatcher
from proxy.estate import Estate
from proxy.localsockets import LocalSockets, identity
from proxy.meters import DirectorMeters
from proxy.naming import name_process
from proxy.outgoing import login_context
from proxy.probing import Prober
from proxy.resolver import Resolver
from proxy.routes import RouteMirror, follow_routes, known_shards
from proxy.settings import Settings

#: Seconds between two looks at figures, for the metrics.
_SWEEP = 0.5
#: Seconds between two looks at whether it is time to go.
_GLANCE = 0.1
#: Seconds that the first probes wait for the DNS.
_NAMES = 3.0
#: Seconds beyond `timeouts.drain` for which workers may still be connected after we were told to stop.
_GRACE = 5.0

_logger = logging.getLogger("vestibule.director")


def state_file(settings: Settings) -> Path:
    """Where a node that is alone keeps the operator's words about backends."""
    return settings.director.state_file or settings.node.run_dir / "backends.json"


def make_state_file(settings: Settings) -> None:
    """Make it, if it is needed, for a director that may not make files beside it; raises OSError."""
    path = state_file(settings)
    if settings.director.store != MEMORY:
        return
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            privileges.give(descriptor, settings.node)
        finally:
            os.close(descriptor)


def run_director(estate: Estate, local: LocalSockets) -> NoReturn:
    """The whole life of the director's process, from the fork on; never returns."""
    status = 1
    try:
        name_process("vestibule-dir")
        estate.close_listening()
        if estate.memory is not None:
            estate.memory.discard()
        estate.counters.director.start()
        context = login_context(estate.settings.backend_login)
        privileges.drop(estate.settings.node)
        gc.freeze()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_direct(estate, local, context))
        status = 0
    except Exception:
        _logger.exception("the director ended by an error")
    finally:
        os._exit(status)


async def _direct(estate: Estate, local: LocalSockets, context: ssl.SSLContext) -> None:
    settings, loop = estate.settings, asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    mirror, shards = RouteMirror(settings), known_shards(settings)
    resolver = Resolver(backend.host for backend in _backends(shards))
    prober = Prober(Dispatcher(loop, linger=settings.timeouts.linger), settings, context, resolver)
    chosen = settings.director.gate
    store = open_store(settings.director, state_file(settings))
    core = Core(
        estate.life,
        settings.director,
        shards,
        workers=settings.node.worker_count,
        now=time.monotonic(),
        near=near_store(store),
        checks_drained=chosen.asks_drained,
    )
    gate = Gate(chosen, core.fleet.find_shard)
    meters = DirectorMeters(estate.counters.director)
    service = Service(
        core,
        store,
        time.monotonic,
        life=estate.life,
        settings=settings.director,
        shards=shards,
        probe=prober.probe,
        gate=gate,
        lookup=mirror.lookup,
        meters=meters,
    )
    watcher = _Watcher(core, service, resolver, gated=chosen.asks_synced)
    watcher.watch(shards)
    with suppress(TimeoutError):
        await asyncio.wait_for(resolver.look_up(), _NAMES)
    try:
        async with service, Console(service, Desk(core, settings.node.name, time.time), local.control) as console:
            await service.accept(local.director)
            async with asyncio.TaskGroup() as tasks:
                going_on = [
                    tasks.create_task(follow_routes(settings, watcher, mirror)),
                    tasks.create_task(resolver.run()),
                    tasks.create_task(_show(core, service, meters)),
                ]
                await _Ending(settings, local, service, console, told).wait()
                for task in going_on:
                    task.cancel()
    finally:
        await gate.close()
        mirror.close()


async def _show(core: Core, service: Service, meters: DirectorMeters) -> None:
    """How the director is doing, for ever."""
    while True:
        now = time.monotonic()
        meters.show(figures(core, now), service.store_state, len(service.workers), now)
        await asyncio.sleep(_SWEEP)


def _backends(shards: Shards) -> list[Backend]:
    return [backend for shard in shards.all for backend in shard.backends]


class _Watcher:
    """Hands on what `follow_routes` sees, to all whom it concerns."""

    def __init__(self, core: Core, service: Service, resolver: Resolver, *, gated: bool) -> None:
        self._core = core
        self._resolver = resolver
        self._gated = gated
        self._service = service
        self.route_changed = service.route_changed
        self.routes_lost = service.routes_lost

    def shards_changed(self, shards: Shards) -> None:
        self.watch(shards)
        self._service.shards_changed(shards)

    def watch(self, shards: Shards) -> None:
        """These are all backends, from here on."""
        backends = _backends(shards)
        self._resolver.follow(backend.host for backend in backends)
        self._core.mover.watch_gates([backend.name for backend in backends] if self._gated else [])


class _Ending:
    """When the process may end."""

    def __init__(
        self, settings: Settings, local: LocalSockets, service: Service, console: Console, told: asyncio.Event
    ) -> None:
        self._patience = settings.timeouts.drain + _GRACE
        self._local = local
        self._path = Path(local.director.getsockname())
        self._identity = identity(self._path)
        self._service = service
        self._console = console
        self._told = told
        self._told_at = 0.0
        self._parent = os.getppid()
        self._orphaned = False

    async def wait(self) -> None:
        """Return when it is time."""
        while not self._is_over():  # noqa: ASYNC110  (nobody tells us that our parent has gone)
            await asyncio.sleep(_GLANCE)

    def _is_over(self) -> bool:
        if os.getppid() != self._parent and not self._orphaned:
            self._be_orphaned()
        if self._told.is_set() and not self._told_at:
            self._told_at = time.monotonic()
        if not (self._orphaned or self._told_at):
            return False
        if not self._service.workers:
            return True
        if self._told_at and time.monotonic() - self._told_at >= self._patience:
            return True
        return self._orphaned and identity(self._path) not in (None, self._identity)

    def _be_orphaned(self) -> None:
        """Whoever follows our supervisor has a director of its own, and workers that are left will find it."""
        self._orphaned = True
        self._service.stop_accepting()
        self._console.stop_accepting()

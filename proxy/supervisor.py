"""The supervisor: makes what all processes inherit, starts them, replaces those that die, and hands on signals."""

from __future__ import annotations

import logging
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import tls
from proxy import control, privileges
from proxy.admin import open_admin_socket, serve_admin
from proxy.counters import Slab
from proxy.directing import make_state_file, run_director
from proxy.estate import Estate, note_expiry, prepare, read_certificates
from proxy.localsockets import LocalSockets, open_local_sockets
from proxy.log import open_sink, set_up_messages
from proxy.mirroring import make_folder, run_mirror
from proxy.notify import notify
from proxy.settings import NodeSettings, Settings
from proxy.worker import run_worker

#: Seconds before a worker that died soon after its start is replaced.
_BACKOFF = 1.0
#: Seconds beyond `timeouts.drain` after which a worker that still runs is killed.
_GRACE = 10.0
#: Seconds that the director has when nobody else is left.
_LAST_GRACE = 3.0

_logger = logging.getLogger("vestibule.supervisor")


@dataclass(slots=True)
class Child:
    """A process of ours; `restarts` is the metric that counts its deaths, `slab` what it counts in. Only workers have a
    `line`: others take no orders. The one that is `last` serves all others, and ends after them."""

    name: str
    restarts: str
    slab: Slab | None
    start: Callable[[], Child]
    pid: int
    began: float
    line: socket.socket | None = None
    last: bool = False


class Supervisor:
    """The children, and what is done when something happens to them or to us."""

    def __init__(self, estate: Estate, local: LocalSockets) -> None:
        self._estate = estate
        self._local = local
        self._children: dict[int, Child] = {}
        self._waiting: list[tuple[float, Callable[[], Child]]] = []
        self._unready: set[socket.socket] = set()
        self._announced = False
        self._stopping = self._last_told = False
        self._kill_at = float("inf")
        self._admin_socket = open_admin_socket(estate.settings.admin)
        self._signals, wakeup = socket.socketpair()
        for end in (self._signals, wakeup):
            end.setblocking(False)
        self._wakeup = wakeup
        signal.set_wakeup_fd(wakeup.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def run(self) -> int:
        """Supervise until told to stop and the last child has ended; the exit status."""
        self._adopt(self._start_director())
        for slot in range(len(self._estate.sockets)):
            self._adopt(self._start_worker(slot))
        if self._estate.settings.mirror_path is not None:
            self._adopt(self._start_mirror())
        if self._admin_socket is not None:
            self._adopt(self._start_admin())
        pid_file = write_pid(self._estate.settings.node)
        while self._children or not self._stopping:
            self._wait()
        if pid_file is not None:
            pid_file.unlink(missing_ok=True)
        self._local.remove()
        return 0

    def _wait(self) -> None:
        """Until something happens, or the next thing is due."""
        due = min([self._kill_at, *(at for at, _ in self._waiting)]) - time.monotonic()
        timeout = None if due == float("inf") else max(due, 0)
        ready, _, _ = select.select([self._signals, *self._unready], [], [], timeout)
        for line in ready:
            if line is self._signals:
                self._handle_signals()
            else:
                self._hear(line)
        self._reap()
        self._start_due()
        if self._stopping and not self._last_told and all(child.last for child in self._children.values()):
            self._stop_last()
        if time.monotonic() >= self._kill_at:
            self._kill_at = float("inf")
            self._signal_children(signal.SIGKILL, last=self._last_told)

    def _handle_signals(self) -> None:
        with suppress(BlockingIOError):
            for number in self._signals.recv(64):
                if number in (signal.SIGTERM, signal.SIGINT):
                    self._stop()
                elif number == signal.SIGHUP:
                    self._reload()

    def _hear(self, line: socket.socket) -> None:
        """A worker says that it accepts. The end of its line says that it has died, and is found again by `_reap`."""
        try:
            if line.recv(1) != control.READY:
                return
        except OSError:
            return
        self._unready.discard(line)
        if not self._unready and not self._announced and not self._waiting:
            self._announced = True
            notify("READY=1", "STATUS=Accepting connections.")
            _logger.info("vestibule: ready")

    def _start_worker(self, slot: int) -> Child:
        ours, theirs = socket.socketpair()

        def life() -> None:
            ours.close()  # or it would never see that we are gone
            run_worker(self._estate, slot, theirs)

        pid = self._fork(life, keep=theirs)
        theirs.close()
        self._unready.add(ours)
        name, again = f"worker {slot}", lambda: self._start_worker(slot)
        return Child(
            name, "worker_restarts_total", self._estate.counters.workers[slot], again, pid, time.monotonic(), ours
        )

    def _start_director(self) -> Child:
        pid = self._fork(lambda: run_director(self._estate, self._local), serves_others=True)
        slab, began = self._estate.counters.director, time.monotonic()
        return Child("director", "director_restarts_total", slab, self._start_director, pid, began, last=True)

    def _start_mirror(self) -> Child:
        pid = self._fork(lambda: run_mirror(self._estate))
        return Child(
            "mirror", "mirror_restarts_total", self._estate.counters.mirror, self._start_mirror, pid, time.monotonic()
        )

    def _start_admin(self) -> Child:
        pid = self._fork(self._be_admin)
        return Child("admin", "admin_restarts_total", None, self._start_admin, pid, time.monotonic())

    def _be_admin(self) -> None:
        self._estate.close_listening()
        if self._estate.memory is not None:
            self._estate.memory.discard()
        privileges.drop(self._estate.settings.node)
        os._exit(serve_admin(self._estate.settings, self._estate.counters, self._admin_socket))

    def _fork(
        self, life: Callable[[], object], keep: socket.socket | None = None, *, serves_others: bool = False
    ) -> int:
        """A child that lives `life` and nothing of ours: not our signals, not the other workers' lines."""
        pid = os.fork()
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all of us; they are ours to judge
                signal.signal(number, signal.SIG_IGN)
            for child in self._children.values():
                if child.line is not None:
                    child.line.close()
            for line in (self._signals, self._wakeup, *self._unready):
                if line is not keep:
                    line.close()
            if not serves_others:
                self._local.close()
            life()
        finally:
            os._exit(1)

    def _adopt(self, child: Child) -> None:
        self._children[child.pid] = child

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                self._bury(child, status)

    def _bury(self, child: Child, status: int) -> None:
        if child.line is not None:
            self._unready.discard(child.line)
            child.line.close()
        if child.slab is not None:
            child.slab.start()  # what it measured of itself is not so any more
        if self._stopping:
            return
        code = os.waitstatus_to_exitcode(status)
        _logger.error("%s (process %d) ended with status %d and is replaced", child.name, child.pid, code)
        self._estate.counters.supervisor.counter(child.restarts).add()
        soon = time.monotonic() - child.began < _BACKOFF
        self._waiting.append((time.monotonic() + (_BACKOFF if soon else 0), child.start))

    def _start_due(self) -> None:
        now = time.monotonic()
        due = [start for at, start in self._waiting if at <= now]
        self._waiting = [(at, start) for at, start in self._waiting if at > now]
        for start in due:
            self._adopt(start())

    def _reload(self) -> None:
        """New certificates for all listeners, or none at all: a fault in one leaves everything as it is."""
        notify("RELOADING=1")
        try:
            pairs = read_certificates(self._estate.settings)
        except tls.CertificateFault as fault:
            _logger.warning("certificates are not reloaded: %s", fault)
        else:
            self._hand_out(pairs)
        notify("READY=1")

    def _hand_out(self, pairs: list[tls.CertificatePair]) -> None:
        for contexts in self._estate.contexts:
            if contexts is not None:
                contexts.replace(pairs)
        note_expiry(self._estate.counters, pairs)
        self._reopen_log()
        for child in self._children.values():
            if child.line is not None:
                with suppress(OSError):
                    control.send(child.line, control.Reload(tuple(pairs)))
        _logger.info("certificates reloaded")

    def _reopen_log(self) -> None:
        """First here, where the file can be made; then by the workers, who must be able to open it."""
        try:
            self._estate.sink.reopen()
            own_log(self._estate)
        except OSError as error:
            _logger.warning("the log file cannot be opened again: %s", error.strerror)

    def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._waiting.clear()
        self._estate.counters.supervisor.gauge("draining").set(1)
        self._estate.close_listening()
        notify("STOPPING=1")
        self._kill_at = time.monotonic() + self._estate.settings.timeouts.drain + _GRACE
        self._signal_children(signal.SIGTERM, last=False)

    def _stop_last(self) -> None:
        """Whom the others needed is not needed any more."""
        self._last_told = True
        self._kill_at = time.monotonic() + _LAST_GRACE
        self._signal_children(signal.SIGTERM, last=True)

    def _signal_children(self, number: int, *, last: bool) -> None:
        for pid, child in self._children.items():
            if child.last == last:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)


def serve(settings: Settings) -> int:
    """Run the daemon in this process until it is told to stop; the exit status."""
    sink = open_sink(settings.log)
    set_up_messages(settings.log, sink)
    try:
        _raise_descriptor_limit()
        estate = prepare(settings, sink)
        own_log(estate)
        if settings.mirror_path is not None:
            make_folder(settings.mirror_path, settings.node)
        local = open_local_sockets(settings.node)
        make_state_file(settings)
    except (OSError, tls.CertificateFault) as fault:
        _logger.critical("cannot start: %s", fault)
        return 2
    return Supervisor(estate, local).run()


def own_log(estate: Estate) -> None:
    """The log file, if there is one, belongs to those who write it."""
    if estate.settings.log.file is not None:
        privileges.give(estate.sink.descriptor, estate.settings.node)


def write_pid(node: NodeSettings) -> Path | None:
    """`vestibule.pid` in the run directory, for scripts that signal us; without the right to write it, none."""
    try:
        node.run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        file = node.run_dir / "vestibule.pid"
        file.write_text(f"{os.getpid()}\n")
    except OSError as error:
        _logger.warning("no process id file in %s: %s", node.run_dir, error.strerror)
        return None
    return file


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

"""The simulated site: its backends and its directory, what they saw, and which of them live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from operator import attrgetter

from loadtest.simulated.directory import USERS
from loadtest.simulated.messages import Kill, Presence, Revive, Wanted, Work
from loadtest.simulated.process import SiteFailed, SiteProcess

_DIRECTORY = "directory"
_ADDRESS = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class SimulatedBackend:
    """A mail server that is wanted; `address` is one of the loopback's."""

    name: str
    shard: str
    address: str = _ADDRESS


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A mail server that is there: IMAP, POP3 and ManageSieve without TLS; any user may log in, with any password."""

    name: str
    shard: str
    address: str
    ports: Mapping[str, int]
    """By protocol: imap, pop3, managesieve."""


class Site:
    """What runs; `simulated` makes it. Its methods wait for processes, and may be called from any thread."""

    def __init__(
        self,
        backends: Mapping[str, Endpoint],
        directory: str,
        processes: Mapping[str, SiteProcess],
        homes: Mapping[str, str],
    ) -> None:
        self.backends = backends
        """By name."""
        self.directory = directory
        """Its URL, or an empty string when the site has none."""
        self.pids = {name: process.pid for name, process in processes.items()}
        """The site's own processes, by a name for people."""
        self._processes = processes
        self._homes = homes

    def presence(self) -> list[Presence]:
        """Who came and who left: all that happened before this call and was not told yet, ordered by time.

        After the site has ended, the rest. Raises SiteFailed when a process has ended, or millions were not asked for.
        """
        news = [presence for process in self._serving() for presence in process.drain()]
        return sorted(news, key=attrgetter("at"))

    def served(self) -> dict[str, int]:
        """Logins so far at every backend. Raises SiteFailed."""
        logins = {name: 0 for name in self.backends}
        for process in self._serving():
            logins |= process.logins()
        return logins

    def kill(self, backend: str) -> None:
        """Its connections are reset, new ones refused, until it is revived; returns when that is so. Raises SiteFailed.

        The mail stays, as on the disk of a server that crashed.
        """
        self._processes[self._homes[backend]].order(Kill, backend)

    def revive(self, backend: str) -> None:
        """It listens again at the same ports. Raises SiteFailed."""
        self._processes[self._homes[backend]].order(Revive, backend)

    def _serving(self) -> Iterable[SiteProcess]:
        return (process for name, process in self._processes.items() if name != _DIRECTORY)


@contextmanager
def simulated(
    backends: Sequence[SimulatedBackend],
    *,
    processes: int = 1,
    directory: bool = True,
    pushes: float = 0.0,
    replicated: bool = False,
    users: int = USERS,
) -> Iterator[Site]:
    """A site, alive inside `with`; its processes end with it, or with us.

    The backends are spread over so many processes, fewer when there are fewer backends; with `replicated` those of a
    shard are in one process and share their users' mailboxes, otherwise each has its own, which begin alike
    (`first_mail`). `pushes` is the messages per second that arrive for each session that idles. The directory is a
    process of its own with so many `users`; `wrong` is their only wrong password. Raises SiteFailed.
    """
    groups = shared_out(backends, processes, replicated)
    works = {f"backends {number}": _work(group, pushes, replicated) for number, group in enumerate(groups, 1)}
    if directory:
        shards = list(dict.fromkeys(backend.shard for backend in backends))
        works[_DIRECTORY] = Work(shards=shards, users=users, address=_ADDRESS)
    with ExitStack() as stack:
        running = {name: _begun(name, work, stack) for name, work in works.items()}
        ports = {name: process.ready() for name, process in running.items()}
        yield _site(backends, running, ports)


def shared_out(backends: Sequence[SimulatedBackend], processes: int, replicated: bool) -> list[list[SimulatedBackend]]:
    """The backends of each process; what shares mail stays together."""
    together: dict[str, list[SimulatedBackend]] = {}
    for backend in backends:
        together.setdefault(backend.shard if replicated else backend.name, []).append(backend)
    members = list(together.values())
    count = max(1, min(processes, len(members)))
    return [[backend for member in members[first::count] for backend in member] for first in range(count)]


def _work(backends: Iterable[SimulatedBackend], pushes: float, replicated: bool) -> Work:
    wanted = [Wanted(each.name, each.address, each.shard if replicated else each.name) for each in backends]
    return Work(backends=wanted, pushes=pushes)


def _begun(name: str, work: Work, stack: ExitStack) -> SiteProcess:
    process = SiteProcess(name, work)
    stack.callback(process.close)
    process.begin()
    return process


def _site(
    backends: Sequence[SimulatedBackend],
    running: Mapping[str, SiteProcess],
    ports: Mapping[str, Mapping[str, Mapping[str, int]]],
) -> Site:
    homes = {backend: name for name, served in ports.items() for backend in served}
    endpoints = {
        each.name: Endpoint(each.name, each.shard, each.address, ports[homes[each.name]][each.name])
        for each in backends
    }
    found = ports.get(_DIRECTORY, {}).get(_DIRECTORY, {})
    return Site(endpoints, f"ldap://{_ADDRESS}:{found['ldap']}" if found else "", running, homes)


__all__ = ["Endpoint", "SimulatedBackend", "Site", "SiteFailed", "simulated"]

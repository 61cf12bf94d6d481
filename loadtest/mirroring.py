"""What the mirror of a whole directory costs: the first load, a lookup, staying in step, coming back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ldapmap import DirectorySettings
from ldapmap.mirror.fingerprint import fingerprint
from ldapmap.mirror.routes import Routes
from loadtest.figures import Figure, percentile
from loadtest.following import POLL, Changing, ShardOf, burst, delays, lookup_cost
from loadtest.mirror_process import InStep, MirrorProcess
from loadtest.usage import cpu_seconds, pss_kib

_MEBIBYTE = 1 << 20
_PLACE = 0  # there is one base


def open_routes(settings: DirectorySettings, path: Path) -> Routes:
    """The mirror in `path` as a worker reads it."""
    return Routes(path, fingerprint=fingerprint(settings), trust=settings.follow.trust)


def shards_in(routes: Routes) -> ShardOf:
    """The shard of a user, by the same lookup as a login's."""

    def shard_of(name: str) -> str | None:
        entry = routes.find(_PLACE, name)
        return None if entry is None else entry.shard

    return shard_of


def load_figures(process: MirrorProcess, loaded: InStep) -> list[Figure]:
    """The first load, as the process that did it told."""
    how = f"{loaded.status.users:,} users over LDAPS, from the start of its process until it follows"
    return [
        Figure("mirror: first load", loaded.cpu, "s CPU", "<= 5", how),
        Figure("mirror: first load, time", loaded.wall, "s", "", "the same; slapd works beside it"),
        Figure("mirror: file", loaded.status.file_bytes / _MEBIBYTE, "MiB", "<= 76", "after the first load"),
        Figure("mirror: memory of its process", pss_kib(process.pid) / 1024, "MiB PSS", "", "after the first load"),
    ]


def lookup_figures(routes: Routes, names: Sequence[str]) -> list[Figure]:
    """A lookup in a worker."""
    cost = lookup_cost(lambda name: (entry := routes.find(_PLACE, name)) and entry.shard, names)
    how = f"Routes.find, {len(names)} users by chance, least of three rounds"
    return [Figure("mirror: lookup", cost, "µs CPU", "<= 2", how)]


def change_figures(
    process: MirrorProcess, editor: Changing, routes: Routes, numbers: Sequence[int], together: Sequence[int]
) -> list[Figure]:
    """Single changes of `numbers`, then a burst of `together`."""
    shard_of = shards_in(routes)
    single = delays(editor, shard_of, numbers, "moved")
    before = cpu_seconds(process.pid)
    answered, seen = burst(editor, shard_of, together, "moved again")
    spent = cpu_seconds(process.pid) - before
    how = f"{len(numbers)} single changes of mailHost, from the order; looked for every {POLL * 1e3:g} ms"
    return [
        Figure("mirror: change until visible, p50", percentile(single, 50) * 1e3, "ms", "", how),
        Figure("mirror: change until visible, p99", percentile(single, 99) * 1e3, "ms", "<= 50", "the same"),
        Figure("mirror: change until visible, longest", max(single) * 1e3, "ms", "", "the same"),
        Figure(
            "mirror: burst, ordered", answered, "s", "", f"{len(together)} changes until slapd has answered the last"
        ),
        Figure("mirror: burst, visible", seen, "s", "< 1", "from the last answer until all are visible"),
        Figure("mirror: burst, its cost", spent, "s CPU", "", "of the mirror's process"),
    ]


def resume_figures(resumed: InStep) -> list[Figure]:
    """A second start, with a cookie that is current."""
    how = f"from the start until it follows: file, LDAPS, bind; {resumed.status.received} entries were sent"
    return [
        Figure("mirror: resume", resumed.wall * 1e3, "ms", "<= 10", how),
        Figure("mirror: resume, cost", resumed.cpu * 1e3, "ms CPU", "", "the same"),
    ]

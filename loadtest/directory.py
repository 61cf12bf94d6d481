"""What a directory of half a million users costs, and what a storm of logins does: `python -m loadtest.directory`.

Starts OpenLDAP's slapd on a loopback address, filled with `--users` users, and asks it through the directory classes
that the proxy's workers use. Needs the Debian package slapd and no root. Figures of cost are processor time of this
process, the client; they compare only with those of the same machine, whose speed is printed beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import uvloop

from ldapmap import DirectorySettings, open_directory
from loadtest.asking import opened, settings_for, some_users
from loadtest.editor import EditFailed, Editor
from loadtest.figures import Figure, as_json, table, this_machine
from loadtest.following import ChangeLost
from loadtest.logins import login_figures, mirrored_login_figures
from loadtest.mirror_process import MirrorFailed, MirrorProcess
from loadtest.mirroring import change_figures, load_figures, lookup_figures, open_routes, resume_figures
from loadtest.people import ldif
from loadtest.slapd import ROOT_DN, ROOT_PASSWORD, Slapd, SlapdFailed
from loadtest.storm import storm_figures

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured."""

    users: int
    logins: int
    changes: int
    burst: int
    storm: float
    """Seconds."""


def measure(scale: Scale) -> list[Figure]:
    """Everything, one after the other."""
    with Slapd(ldif(scale.users)) as server:
        figures = [Figure("slapadd", server.load_seconds, "s", "", f"{scale.users:,} users, five indexes")]
        figures += _run(lambda: _logins(server, scale))
        figures += _mirror(server, scale)
    return figures + _run(lambda: storm_figures(scale.storm))


async def _logins(server: Slapd, scale: Scale) -> list[Figure]:
    async with opened(open_directory(settings_for(server), server.context)) as directory:
        return await login_figures(directory, some_users(scale.users, scale.logins))


def _mirror(server: Slapd, scale: Scale) -> list[Figure]:
    """Loaded, read, kept in step, used for logins; then its process is started anew."""
    path, settings = server.home / "mirror", settings_for(server, mirror=True)
    names, numbers = some_users(scale.users, scale.logins), _distinct(scale)
    with MirrorProcess(settings, server.context, path, uvloop.new_event_loop) as process:
        figures = load_figures(process, process.in_step())
        with closing(open_routes(settings, path)) as routes:
            figures += lookup_figures(routes, names)
            with Editor(server.socket, ROOT_DN, ROOT_PASSWORD) as editor:
                figures += change_figures(process, editor, routes, *numbers)
        figures += _run(lambda: _mirrored_logins(server, settings, path, names))
    with MirrorProcess(settings, server.context, path, uvloop.new_event_loop) as process:
        return figures + resume_figures(process.in_step())


async def _mirrored_logins(
    server: Slapd, settings: DirectorySettings, path: Path, names: Sequence[str]
) -> list[Figure]:
    async with opened(open_directory(settings, server.context, mirror=path)) as directory:
        return await mirrored_login_figures(directory, names)


def _distinct(scale: Scale) -> tuple[Sequence[int], Sequence[int]]:
    """The numbers of the users who are changed one by one, and of those who are changed together."""
    chosen = Random(3).sample(range(scale.users), min(scale.users, scale.changes + scale.burst))
    return chosen[: scale.changes], chosen[scale.changes :]


def _run(measurement: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """In a loop like that of the proxy's workers."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measurement())


def _scale(options: argparse.Namespace) -> Scale:
    given = vars(options)
    return Scale(**{each.name: given[each.name] for each in fields(Scale)})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code: 0 measured, 2 it could not be done."""
    parser = argparse.ArgumentParser(prog="loadtest.directory", description="Measure the directory's side of a login.")
    parser.add_argument("--users", type=int, default=500_000, help="users in the directory (default: %(default)s)")
    parser.add_argument("--logins", type=int, default=20_000, help="logins of a round (default: %(default)s)")
    parser.add_argument("--changes", type=int, default=1000, help="single changes (default: %(default)s)")
    parser.add_argument("--burst", type=int, default=5000, help="changes at once (default: %(default)s)")
    parser.add_argument("--storm", type=float, default=20.0, help="seconds a storm lasts (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    machine = this_machine()
    try:
        figures = measure(_scale(options))
    except (SlapdFailed, MirrorFailed, ChangeLost, EditFailed, OSError) as failure:
        print(f"loadtest.directory: {failure}", file=sys.stderr)
        return 2
    print(as_json(machine, figures) if options.json else f"{machine}\n\n{table(figures)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the directory says about one user, and what the mirror makes of it: for the operator who wonders."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ldapmap import (
    Directory,
    DirectoryError,
    Entry,
    LdifFault,
    Operation,
    Outcome,
    Policy,
    Remembered,
    Source,
    UnknownUser,
    open_directory,
)
from proxy.config import ConfigurationError
from proxy.explanation import Explanation, Step
from proxy.outgoing import directory_context
from proxy.reading import Fault
from proxy.settings import Settings

_FOUND: dict[str, str] = {
    "live": "a directory server",
    "mirror": "the mirror",
    "stale": "the mirror, because no directory server answers",
    "cache": "the cache",
}


class _Witness:
    """Remembers where the last answer came from (`ldapmap.Meters`)."""

    def __init__(self) -> None:
        self.source: Source = "live"

    def operation(self, server: str, operation: Operation, outcome: Outcome, seconds: float) -> None: ...

    def waited(self, seconds: float) -> None: ...

    def answered(self, source: Source) -> None:
        self.source = source

    def remembered(self, outcome: Remembered) -> None: ...


def look_up(settings: Settings, typed: str) -> Explanation:
    """Asks as a login would; with a mirror, a directory server as well, and tells where the two differ.

    Raises ConfigurationError when the directory cannot be opened.
    """
    witness = _Witness()
    directory = open_for_commands(settings, witness)
    described = tuple(directory.describe(typed))
    found, steps = asyncio.run(_ask(directory, typed, witness, settings.mirror_path))
    return Explanation(typed, found, (*described, *steps))


def open_for_commands(settings: Settings, witness: _Witness | None = None) -> Directory:
    """The directory as the daemon opens it, with its mirror if there is one; raises ConfigurationError."""
    context = directory_context(settings.directory)
    try:
        return open_directory(settings.directory, context, meters=witness or _Witness(), mirror=settings.mirror_path)
    except (OSError, ValueError, LdifFault) as error:
        raise ConfigurationError(Fault("directory", str(error))) from None


async def _ask(
    directory: Directory, typed: str, witness: _Witness, mirror: Path | None
) -> tuple[bool, tuple[Step, ...]]:
    await directory.start()
    try:
        entry = await directory.find(typed)
        steps = [("found in", _FOUND[witness.source]), *entry_steps(entry)]
        if mirror is not None and witness.source == "mirror":
            steps += await _compared(directory, typed, entry)
    except DirectoryError as error:
        return False, (("refused", f"{type(error).__name__}: {error.reason}"),)
    finally:
        await directory.close()
    return True, tuple(steps)


async def _compared(directory: Directory, typed: str, mirrored: Entry) -> list[Step]:
    try:
        live = await directory.find(typed, fresh=True)
    except UnknownUser:
        return [("directory server", "knows nobody of this name: the mirror is behind")]
    except DirectoryError as error:
        return [("directory server", f"{type(error).__name__}: {error.reason}")]
    if live == mirrored:
        return [("directory server", "says the same")]
    differences = [
        (f"directory server, {name}", f"{theirs!r} and not {ours!r}")
        for name, ours, theirs in zip(Entry._fields, mirrored, live, strict=True)
        if ours != theirs
    ]
    return [*differences, ("directory server", "differs: the mirror is behind")]


def entry_steps(entry: Entry) -> Iterator[Step]:
    """What an entry says, line by line."""
    yield "entry", entry.dn
    yield "user", entry.user
    yield "value of the shard attribute", entry.shard
    if entry.preferred:
        yield "preferred backend", entry.preferred
    if entry.login:
        yield "name at the backend", entry.login
    if entry.policy:
        yield from policy_steps(Policy.read(entry.policy))


def policy_steps(policy: Policy) -> Iterator[Step]:
    """What restricts the user, line by line."""
    if policy.disabled:
        yield "disabled", policy.disabled
    if policy.closes:
        yield "open until", _day(policy.closes)
    if policy.expired:
        yield "password expired", policy.expired
    if policy.expires:
        yield "password good until", _day(policy.expires)
    if policy.protocols is not None:
        yield "protocols", ", ".join(policy.protocols) or "none"
    if policy.networks is not None:
        yield "networks", ", ".join(policy.networks)
    if policy.passthrough:
        yield "password", "judged by the backend alone"


def _day(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return f"{seconds:.0f} s after 1970"

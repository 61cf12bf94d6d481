"""Runs an operator's command: never by a shell, with little around it, and ended with all it has started."""

import asyncio
import contextlib
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, cast

ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

MAX_TEXT: Final = 200
"""Characters kept of the last line that a command prints; the rest is read and thrown away."""

_LAST_WAIT: Final = 1.0
"""Seconds for the kernel to end a process that was killed."""

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")

_HARMLESS: Final = re.compile(r"[\w.@+=,:%/][\w.@+=,:%/-]*")
"""What can be neither an option nor anything special to a shell, such as the one that ssh starts elsewhere."""


class Unfit(Exception):
    """A value cannot be put into a command: it might mean something else there."""


class Done(NamedTuple):
    """How a command ended: `code` is its exit code, or minus the signal that ended it; `text` its last line."""

    code: int
    text: str


def placeholders(command: Sequence[str]) -> Iterator[str]:
    """Yield the names that stand in braces."""
    return (name for argument in command for name in _PLACEHOLDER.findall(argument))


def filled(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Return the command with values in place of their names. Raises Unfit for a value that might do harm."""
    for name in set(placeholders(command)):
        if not _HARMLESS.fullmatch(values[name]):
            raise Unfit(f"{name} {values[name]!r} cannot be given to a command")
    return [_PLACEHOLDER.sub(lambda found: values[found[1]], argument) for argument in command]


async def run(command: Sequence[str]) -> Done:
    """Run a command to its end; when this is cancelled, it and what it has started are killed.

    By SIGKILL: `doveadm sync` ignores SIGTERM while its partner hangs. It has ended when nobody holds its output any
    more. Raises OSError if it cannot be started.
    """
    process = await _started(command)
    try:
        text = await _last_line(cast(asyncio.StreamReader, process.stdout))
        return Done(await process.wait(), text)
    except BaseException:
        await _end(process)
        raise


async def _started(command: Sequence[str]) -> Process:
    """Cancelled half-way, asyncio would end the first process, and leave alone what that has started already."""
    start = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=ENVIRONMENT, cwd="/", start_new_session=True
        )
    )
    try:
        return await asyncio.shield(start)
    except asyncio.CancelledError:
        start.add_done_callback(_discard)
        raise


def _discard(start: asyncio.Future[Process]) -> None:
    if not start.cancelled() and start.exception() is None:
        _kill(start.result())


async def _last_line(output: asyncio.StreamReader) -> str:
    kept = b""
    while part := await output.read(65536):
        kept = (kept + part)[-4 * MAX_TEXT :]
    lines = kept.decode(errors="replace").split("\n")
    last = next((line for line in map(str.strip, reversed(lines)) if line), "")
    return "".join(letter if letter.isprintable() else " " for letter in last)[:MAX_TEXT]


async def _end(process: Process) -> None:
    _kill(process)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _LAST_WAIT)


def _kill(process: Process) -> None:
    """The whole group, which may have outlived its first process."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)

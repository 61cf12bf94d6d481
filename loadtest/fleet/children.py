"""Client processes as their parent has them: spawned, told what to be, listened to, and ended."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import TypeAlias

START = 60.0
"""Seconds that all processes have to get ready."""

END = 20.0
"""Seconds that a process has to end when its pipe is closed."""

Children: TypeAlias = dict[Pipe, BaseProcess]
"""Processes by the pipe to each."""


class CrewFailed(Exception):
    """Client processes were not ready in time, or one ended before its time; its words are on standard error."""


@contextmanager
def children(main: Callable[[Pipe], None], name: str, posts: Sequence[bytes]) -> Iterator[Children]:
    """A process `NAME-NUMBER` for each post, which is the first that it hears. They have ended when the block has.

    They are spawned, not forked: who starts them may have threads.
    """
    context = multiprocessing.get_context("spawn")
    started: Children = {}
    child: BaseProcess
    try:
        for number, _ in enumerate(posts):
            ours, theirs = context.Pipe()
            child = context.Process(target=main, args=(theirs,), name=f"{name}-{number}", daemon=True)
            child.start()
            theirs.close()
            started[ours] = child
        for pipe, post in zip(started, posts, strict=True):
            pipe.send_bytes(post)
        yield dict(started)
    finally:
        for pipe, child in started.items():
            pipe.close()
            _end(child)


def wait_until_ready(pipes: Collection[Pipe]) -> None:
    """Each says one word when it is. Raises CrewFailed."""
    until = time.monotonic() + START
    for pipe in pipes:
        if not pipe.poll(max(0.0, until - time.monotonic())):
            raise CrewFailed(f"the client processes are not ready after {START:g} s; try fewer sessions")
        _received(pipe)


def heard(pipes: Collection[Pipe], seconds: float) -> list[tuple[Pipe, bytes]]:
    """One word of each that says something, waiting for so long at most. Raises CrewFailed."""
    found = []
    for pipe in connection.wait(list(pipes), seconds):
        assert isinstance(pipe, Pipe)  # noqa: S101 (that is what we wait for)
        found.append((pipe, _received(pipe)))
    return found


def shares(count: int, parts: int) -> list[int]:
    """`count` in so many parts as even as possible, the larger ones first."""
    return [count // parts + (part < count % parts) for part in range(parts)]


def lost() -> CrewFailed:
    """What to raise when a process does not hear or say anything any more."""
    return CrewFailed("a client process has ended before its time")


def _received(pipe: Pipe) -> bytes:
    try:
        return pipe.recv_bytes()
    except (EOFError, OSError):
        raise lost() from None


def _end(child: BaseProcess) -> None:
    child.join(END)
    if child.is_alive():
        child.kill()
        child.join()

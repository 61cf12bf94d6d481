"""Clients in processes of their own, so that their work counts as nobody's, and orders that go to all of them."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from loadtest.compare.client import Client, Outcome, Place
from loadtest.fleet.children import shares

PROCESSES = 2

ORDER = 900.0
"""Seconds an order may take at most."""

_STOP = 10.0


class ClientsFailed(Exception):
    """An order was not followed; the text says which, and why."""


class Clients:
    """The processes; sessions are shared out evenly among them."""

    def __init__(self, pipes: list[Connection]) -> None:
        self._pipes = pipes

    def visit(self, place: Place, count: int, at_once: int) -> Outcome:
        """See `Client.visit`; by one process, which leaves the product a processor of its own where there are two."""
        return self._order(self._pipes[:1], [{"place": place, "count": count, "at_once": at_once}], "visit")

    def open(self, place: Place, count: int, at_once: int, *, idle: bool = False, first: int = 0) -> Outcome:
        """See `Client.open`."""
        orders, begin = [], first
        for share, together in zip(shares(count, len(self._pipes)), shares(at_once, len(self._pipes)), strict=True):
            orders.append({"place": place, "count": share, "at_once": max(1, together), "first": begin, "idle": idle})
            begin += share
        return self._order(self._pipes, orders, "open")

    def all(self, method: str, **words: Any) -> Outcome:
        """The same order to all: `noop`, `receive`, `send`, `move` or `close` of `Client`."""
        return self._order(self._pipes, [words] * len(self._pipes), method)

    def _order(self, pipes: list[Connection], orders: list[dict[str, Any]], method: str) -> Outcome:
        for pipe, words in zip(pipes, orders, strict=True):
            pipe.send((method, words))
        whole = Outcome()
        for pipe in pipes:
            whole.add(_answer(pipe, method))
        return whole


def _answer(pipe: Connection, method: str) -> Outcome:
    try:
        answer = pipe.recv() if pipe.poll(ORDER) else f"not done in {ORDER:g} s"
    except EOFError:
        answer = "the process ended"
    if not isinstance(answer, Outcome):
        raise ClientsFailed(f"{method}: {answer}")
    return answer


@contextmanager
def clients(authority: Path, processes: int = PROCESSES) -> Iterator[Clients]:
    """So many processes, gone after the block; `authority` (PEM) vouches for the products."""
    context = multiprocessing.get_context("fork")
    pairs = [context.Pipe() for _ in range(processes)]
    workers = [context.Process(target=_work, args=(theirs, authority), daemon=True) for _, theirs in pairs]
    for worker in workers:
        worker.start()
    for _, theirs in pairs:
        theirs.close()
    try:
        yield Clients([ours for ours, _ in pairs])
    finally:
        for ours, _ in pairs:
            ours.close()
        for worker in workers:
            worker.terminate()
            worker.join(_STOP)
            worker.kill()
            worker.join()


def _work(pipe: Connection, authority: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all of us; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    client = Client(authority)
    while True:
        try:
            method, words = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(getattr(client, method)(**words))
        except Exception as failure:  # told to the parent, which raises it
            pipe.send(f"{type(failure).__name__}: {failure}")

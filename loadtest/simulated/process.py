"""A process of a simulated site, as its parent holds it: orders are followed, news are never lost."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from threading import Condition, Thread
from typing import IO

from loadtest.simulated.messages import (
    Answer,
    Done,
    Failed,
    Kill,
    News,
    Presence,
    Ready,
    Revive,
    Tell,
    Work,
    encode,
    read_answer,
)

PATIENCE = 30.0
"""Seconds a process has to start, to follow an order, and to end."""

MOST_NEWS = 5_000_000
"""Presences that are kept until somebody asks for them."""


class SiteFailed(Exception):
    """A simulated site cannot be what it should; the text says why."""


class SiteProcess:
    """One process, which a thread listens to, so that it never waits for us.

    `begin`, `ready`, any number of orders, `close`; `drain` works after that as well. What happens in between may be
    asked for from any thread.
    """

    def __init__(self, name: str, work: Work, most: int = MOST_NEWS) -> None:
        self.name = name
        self._work = work
        self._most = most
        self._numbers = count(1)
        self._heard = Condition()
        self._news: deque[Presence] = deque()
        self._lost = 0
        self._logins: Counter[str] = Counter()
        self._ports: dict[str, dict[str, int]] | None = None
        self._done: set[int] = set()
        self._failures: dict[int, str] = {}
        self._ended = False
        self._closed = False

    def begin(self) -> None:
        """Start it; it does not have to be ready yet. A terminal's Ctrl-C is not for it."""
        command = [sys.executable, "-m", "loadtest.simulated.serving"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, bufsize=0
        )
        self._thread = Thread(target=self._listen, name=f"news of {self.name}", daemon=True)
        self._thread.start()
        self._say(encode(self._work))

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._process.pid

    def ready(self) -> dict[str, dict[str, int]]:
        """The ports of everything in it, when it listens. Raises SiteFailed."""
        self._wait(0, lambda: self._ports is not None)
        return self._ports or {}

    def order(self, kind: type[Kill] | type[Revive] | type[Tell], *backend: str) -> None:
        """Return when an order has been followed. Raises SiteFailed."""
        number = next(self._numbers)
        self._say(encode(kind(number, *backend)))
        self._wait(number, lambda: number in self._done)
        self._done.discard(number)

    def drain(self) -> list[Presence]:
        """Everything that happened before this call and has not been drained, in order. Raises SiteFailed."""
        self._catch_up()
        with self._heard:
            if self._lost:
                raise SiteFailed(f"{self.name}: {self._lost} presences were not asked for in time and are lost")
            news, self._news = self._news, deque()
        return list(news)

    def logins(self) -> Counter[str]:
        """The sessions that have begun so far, by backend. Raises SiteFailed."""
        self._catch_up()
        with self._heard:
            return self._logins.copy()

    def close(self) -> None:
        """Let it end; what it tells at its end is kept. Nothing is left of it on return."""
        self._closed = True
        with suppress(OSError):
            self._pipe(self._process.stdin).close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(PATIENCE)

    def _catch_up(self) -> None:
        if not self._closed:
            self.order(Tell)

    def _say(self, order: bytes) -> None:
        try:
            self._pipe(self._process.stdin).write(order + b"\n")
        except OSError as error:
            raise SiteFailed(f"{self.name}: {error}") from None

    def _wait(self, number: int, condition: Callable[[], bool]) -> None:
        """For a condition that `_hear` brings about; raises SiteFailed for the order of this number."""
        with self._heard:
            self._heard.wait_for(lambda: condition() or self._ended or number in self._failures, PATIENCE)
            if not condition():
                reason = "it has ended" if self._ended else f"no answer within {PATIENCE:g} s"
                raise SiteFailed(f"{self.name}: {self._failures.pop(number, reason)}")

    def _listen(self) -> None:
        with self._pipe(self._process.stdout) as answers:
            for line in open(answers.fileno(), "rb", closefd=False):  # noqa: SIM115 (the pipe is closed above)
                answer = read_answer(line)
                with self._heard:
                    self._hear(answer)
                    self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()

    def _hear(self, answer: Answer) -> None:
        match answer:
            case News(presences=presences):
                self._logins.update(presence.backend for presence in presences if presence.came)
                room = max(self._most - len(self._news), 0)
                self._news.extend(presences[:room])
                self._lost += len(presences[room:])
            case Done(number=number):
                self._done.add(number)
            case Ready(ports=ports):
                self._ports = ports
            case Failed(number=number, reason=reason):
                self._failures[number] = reason

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None  # noqa: S101 (both are pipes)
        return pipe

"""The director as a worker knows it: leases for sessions, and what is told and asked besides.

The line to the director may break and the director may be replaced: running sessions do not notice. Whoever answers
next is told of all leases that live, and asked again what was not answered. Meanwhile logins wait, but only so long.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from sys import intern
from typing import Any, Final, Literal, cast

from director.choice import Why
from director.errors import DirectorError, NoBackend, NoDirector, refusal
from director.lease import Lease, OnKick
from director.line import Dial, Line, dial
from director.shards import Backend
from director.wariness import Wariness
from director.wire import (
    VERSION,
    Announced,
    Assign,
    Attempt,
    BadFrame,
    Catalogue,
    Connected,
    Embargo,
    Failed,
    FromWorker,
    Grant,
    Hello,
    Kick,
    Passed,
    Refuse,
    Release,
    Report,
    Unframer,
    Wait,
    Wary,
    Welcome,
    frames,
    to_worker,
)

ANSWER_WITHIN: Final = 2.0
"""Seconds; a question about failed logins that is not answered by then is answered by 0: no login fails for it."""

_SHORTEST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
"""Seconds between two tries to reach the director: doubled each time, until one has answered."""

_IN_PASSING: Final = 0.01
"""Seconds that a message to which there is no answer waits for one that cannot wait: each send wakes another process,
which costs both of them more than the message does."""

_DIAL_WITHIN: Final = 2.0
_SWEEP: Final = 0.1
"""Seconds between two looks at questions that wait for an answer, as long as there are any."""

_logger = logging.getLogger("vestibule.director")


@dataclass(slots=True, eq=False)
class _Question:
    """An `Assign` that is not answered."""

    asked: Assign
    on_kick: OnKick
    answer: asyncio.Future[Lease]
    until: float


class Client:
    """Speaks for the sessions of one worker.

    `worker` names this life of the worker, as no other ever will. `clock` gives seconds and never goes backwards.
    `wait` is how long, in seconds, a login waits for its lease. `on_backends` is told all backends there are, whenever
    they change. Everything is called within one event loop.
    """

    def __init__(
        self, path: str, worker: str, slot: int, clock: Callable[[], float], *, wait: float, dial: Dial = dial
    ) -> None:
        self.on_backends: Callable[[Mapping[str, Backend]], None] = lambda _: None
        self._path = path
        self._hello = Hello(VERSION, worker, slot)
        self._clock = clock
        self._wait = wait
        self._dial = dial
        self._numbers = count(1)
        self._leases: dict[int, Lease] = {}
        self._questions: dict[int, _Question] = {}
        self._waits: dict[int, tuple[asyncio.Future[float], float]] = {}
        self._backends: dict[str, Backend] = {}
        self._wariness = Wariness()
        self._failing: set[str] = set()
        """Backends of which it was said that they failed, and not yet that they did not."""
        self._unsaid: list[FromWorker] = []
        self._flushing = False
        """All of that will be said in this turn of the loop."""
        self._flush_later: asyncio.TimerHandle | None = None
        self._line: Line | None = None
        self._unframer = Unframer()
        self._lost = asyncio.Event()
        self._pause = _SHORTEST_PAUSE
        self._complained = False
        self._sweeping: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop

    # The line.

    def start(self) -> None:
        """Reach the director, now and whenever it is lost, until `close`; called in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._stay_connected(), name="director")

    async def close(self) -> None:
        """Say what is still to be said, and no more. Who waits for a lease gets NoDirector."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._flush_later is not None:
            self._flush_later.cancel()
        self._flush()
        self._hang_up()
        self.lost()
        for number in tuple(self._questions):
            self._fail(number, NoDirector("this worker comes to its end"))

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._connect()
            except OSError as error:
                self._complain(f"the director cannot be reached at {self._path}: {error.strerror or 'no answer'}")
            else:
                await self._lost.wait()
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _connect(self) -> None:
        """Make a line and say who we are, what we have, and what we want."""
        self._unframer, self._lost = Unframer(), asyncio.Event()
        async with asyncio.timeout(_DIAL_WITHIN):  # wait_for may swallow a cancellation
            self._line = line = await self._dial(self._path, self)
        said: list[FromWorker] = [self._hello]
        said += [lease.announcement() for lease in self._leases.values()]
        said.append(Announced())
        said += [question.asked for question in self._questions.values()]
        line.send(frames(said))

    def heard(self, data: bytes) -> None:
        """What the line brings (`Ear`)."""
        try:
            for body in self._unframer.feed(data):
                for message in to_worker(body):
                    _TAKERS[type(message)](self, message)
        except BadFrame as fault:
            self._complain(f"the director is left alone for a while: it says what we do not understand: {fault}")
            self._hang_up()

    def lost(self) -> None:
        """The line has ended (`Ear`)."""
        self._line = None
        self._unsaid.clear()
        for answer, _ in self._waits.values():
            _answer(answer, 0.0)
        self._lost.set()

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _say(self, message: FromWorker) -> None:
        """All that is said in one turn of the loop goes out together; without a line it is not said at all."""
        if self._line is None:
            return
        self._unsaid.append(message)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _mention(self, message: FromWorker) -> None:
        """Say it with what is said next, or soon."""
        if self._line is None:
            return
        self._unsaid.append(message)
        if self._flush_later is None:  # and let it be if something is said before: a timer costs more than a look
            self._flush_later = self._loop.call_later(_IN_PASSING, self._flush_mentioned)

    def _flush_mentioned(self) -> None:
        self._flush_later = None
        self._flush()

    def _flush(self) -> None:
        self._flushing = False
        if self._unsaid and self._line is not None:
            self._line.send(frames(self._unsaid))
        self._unsaid.clear()

    def _complain(self, text: str) -> None:
        """Once, until all is well again."""
        if not self._complained:
            _logger.warning("%s", text)
        self._complained = True

    # Leases.

    async def assign(
        self,
        user: str,
        shard: str,
        preferred: str,
        *,
        address: str,
        protocol: str,
        session: str,
        failed: str = "",
        on_kick: OnKick,
    ) -> Lease:
        """Return a lease on the backend that should serve this session of the user; release it when the session ends.

        `user` is the canonical name; `shard` and `preferred` are what the user's entry says. `failed` is the name of
        the backend that this session was given before and that did not accept it. Raises DirectorError; then, and when
        it is cancelled, there is no lease. `on_kick` may be called before the caller sees the lease, which is then
        `kicked`.
        """
        number = next(self._numbers)
        asked = Assign(number, user, shard, preferred, address, protocol, session, failed, time.time())
        answer: asyncio.Future[Lease] = self._loop.create_future()
        self._questions[number] = _Question(asked, on_kick, answer, self._clock() + self._wait)
        self._say(asked)
        self._watch()
        try:
            return await answer
        except BaseException:
            self._give_up(number)
            raise

    def release(self, lease: Lease) -> None:
        """The session is over; a second time this does nothing."""
        lease.on_kick = None  # which holds the session
        if self._leases.pop(lease.number, None) is not None:
            say = self._say if lease.kicked else self._mention  # somebody waits for those who had to leave
            say(Release(lease.number))

    def report(self, lease: Lease, phase: Literal["connect", "login"], ok: bool) -> None:
        """How a login at the lease's backend went: `phase` is "connect" until it has greeted, then "login"."""
        backend = lease.backend.name
        if not ok:
            self._failing.add(backend)
        elif backend in self._failing:
            self._failing.discard(backend)
        else:
            return
        self._say(Report(backend, lease.user, phase, ok))

    def _give_up(self, number: int) -> None:
        """The lease is not wanted any more, given or not."""
        asked, given = self._questions.pop(number, None), self._leases.pop(number, None)
        if asked is not None or given is not None:
            self._say(Release(number))

    def _fail(self, number: int, error: DirectorError) -> None:
        question = self._questions.pop(number, None)
        if question is not None and not question.answer.done():
            question.answer.set_exception(error)

    # Failed logins and floods.

    def connected(self, address: str) -> bool:
        """A client has connected from this address; whether it may stay."""
        if not self._wariness.lets_in(address, self._clock()):
            return False
        self._mention(Connected(address))
        return True

    async def attempt(self, name: str, address: str) -> float:
        """Return for how many seconds to wait before this name is tried from there, and this is asked again; 0: go."""
        if not self._wariness.asks(name, address, self._clock()):
            return 0.0
        return await self._ask(Attempt(next(self._numbers), name, address))

    async def failed(self, name: str, address: str) -> float:
        """The name or the password was wrong; return for how many seconds to keep the reply."""
        return await self._ask(Failed(next(self._numbers), name, address))

    def passed(self, name: str, address: str) -> None:
        """The password was right."""
        self._mention(Passed(name, address))

    async def _ask(self, question: Attempt | Failed) -> float:
        if self._line is None:
            return 0.0
        answer: asyncio.Future[float] = self._loop.create_future()
        self._waits[question.request] = answer, self._clock() + ANSWER_WITHIN
        self._say(question)
        self._watch()
        try:
            return await answer
        finally:
            del self._waits[question.request]

    # Deadlines.

    def _watch(self) -> None:
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(_SWEEP, self._sweep)

    def _sweep(self) -> None:
        """Answer what the director has not answered in time."""
        now, self._sweeping = self._clock(), None
        for number in [number for number, question in self._questions.items() if question.until <= now]:
            self._fail(number, NoDirector(f"the director has not answered within {self._wait:g} s"))
            self._say(Release(number))
        for answer, until in self._waits.values():
            if until <= now:
                _answer(answer, 0.0)
        if self._questions or self._waits:
            self._watch()

    # What the director says.

    def _welcome(self, welcome: Welcome) -> None:
        if welcome.version != VERSION:
            raise BadFrame(f"its version is {welcome.version}, ours {VERSION}")
        self._pause = _SHORTEST_PAUSE
        if self._complained:
            _logger.warning("the director is there again: %s", welcome.node)
        self._complained = False

    def _catalogue(self, catalogue: Catalogue) -> None:
        """Backends that stay the same stay the same objects: leases share them."""
        known, self._backends = self._backends, {}
        for place in catalogue.backends:
            backend, before = Backend(place.name, place.host, place.ports), known.get(place.name)
            self._backends[place.name] = before if before is not None and before == backend else backend
        self._failing &= self._backends.keys()
        self.on_backends(self._backends)

    def _granted(self, grant: Grant) -> None:
        number = grant.lease
        if number not in self._questions:
            return  # given up in the meantime, which the director will hear
        backend = self._backends.get(grant.backend)
        if backend is None:
            self._fail(number, NoBackend(f"the director has not said where {grant.backend!r} is"))
            self._say(Release(number))
            return
        question = self._questions.pop(number)
        asked = question.asked
        lease = self._leases[number] = Lease(
            number,
            asked.user,
            backend,
            intern(grant.shard),
            cast(Why, intern(grant.why)),
            grant.epoch,
            asked.address,
            asked.protocol,
            asked.session,
            asked.began,
            question.on_kick,
        )
        _answer(question.answer, lease)

    def _refused(self, refuse: Refuse) -> None:
        self._fail(refuse.lease, refusal(refuse.reason, refuse.text, refuse.wait))

    def _kicked(self, kick: Kick) -> None:
        lease = self._leases.get(kick.lease)
        if lease is None or lease.on_kick is None:
            return
        lease.kicked = intern(kick.reason) or "kicked"
        try:
            lease.on_kick(lease.kicked, kick.now)
        except Exception:
            _logger.exception("session %s: an error of ours while it was being ended", lease.session)

    def _waited(self, wait: Wait) -> None:
        answer, _ = self._waits.get(wait.request, (None, 0.0))
        if answer is not None:
            _answer(answer, wait.seconds)

    def _beware(self, wary: Wary) -> None:
        self._wariness.beware(wary.name, wary.address, wary.seconds, self._clock())

    def _shut_out(self, embargo: Embargo) -> None:
        self._wariness.shut_out(embargo.address, embargo.seconds, self._clock())


_TAKERS: Final[Mapping[type, Callable[[Client, Any], None]]] = {
    Welcome: Client._welcome,
    Catalogue: Client._catalogue,
    Grant: Client._granted,
    Refuse: Client._refused,
    Kick: Client._kicked,
    Wait: Client._waited,
    Wary: Client._beware,
    Embargo: Client._shut_out,
}


def _answer(future: asyncio.Future[Any], value: object) -> None:
    """Whoever asked may have gone."""
    if not future.done():
        future.set_result(value)

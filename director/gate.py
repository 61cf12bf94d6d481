"""The sync gate: has a backend that came back caught up with its partners, and has a user left a backend?

Both are answered by an operator's command, or by Dovecot itself through the doveadm HTTP API of each backend. To be
asked is never in a hurry, and no answer is a no: users stay where they are.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Final, NamedTuple

from director import commands, replicator
from director.doveadm import Auth, Doveadm, NoAnswer, url
from director.shards import Backend, Shard

_GATE_VALUES: Final = ("backend", "host", "partner", "partner_host", "shard", "since")
_DRAINED_VALUES: Final = ("backend", "host", "shard", "user")

_FIRST_PAUSE: Final = 0.25
"""Seconds until a replicator is asked again; each time it is twice as long, and much longer than the last answer took,
for the status of 100,000 users is 16 MB."""

_TIME_TO_ASK: Final = 0.75
"""Share of the deadline after which a replicator is not asked again, so that its last answer is in time."""

_PUSHED_AT_ONCE: Final = 20
"""Users who are stuck that are synchronised by order, at each question."""

_SAME_RETURN: Final = 1.0
"""Seconds by which what is told of a backend's return may vary."""

_SESSIONS: Final = "there are sessions"
"""What is usual while a user is being moved."""

_logger = logging.getLogger("vestibule.director")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """`[director.gate]`: who knows whether a backend has caught up, and whether a user has left one."""

    command: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "Program and arguments, without a shell: exit code 0 means that {backend} has caught up with "
            "{partner}; also {host}, {partner_host}, {shard}, and {since}, when it came back, in seconds since 1970."
        },
    )
    doveadm_url: str = field(
        default="",
        metadata={
            "doc": "The doveadm HTTP API of each backend, such as http://{host}:8080/doveadm/v1; with it, Dovecot "
            "2.3's replicator is asked instead of a command."
        },
    )
    doveadm_auth: Auth = field(
        default="password",
        metadata={"doc": "What doveadm_password_file has: Dovecot's doveadm_password or its doveadm_api_key."},
    )
    doveadm_password_file: Path | None = field(
        default=None, metadata={"doc": "File with the password or key for doveadm_url, read for each question."}
    )
    ca_file: Path | None = field(
        default=None,
        metadata={"doc": "Certificates that those of an https doveadm_url must come from; else the system's."},
    )
    max_lag: float = field(
        default=5.0,
        metadata={
            "doc": "A user who is being synchronised for longer has not caught up; on a busy server there is always "
            "somebody who has just changed something.",
            "unit": "s",
            "min": 0,
            "max": 3600,
        },
    )
    replicate_every: float = field(
        default=600.0,
        metadata={
            "doc": "While users wait to return, the replicator is told so often to synchronise everybody, for of some "
            "changes it does not know.",
            "unit": "s",
            "min": 10,
            "max": 86400,
        },
    )
    drained_command: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "Program and arguments: exit code 0 means that no session of {user} is left on {backend}; also "
            "{host} and {shard}. Empty: nobody is asked, for we know when our own sessions have ended."
        },
    )
    drained_by_who: bool = field(
        default=False,
        metadata={"doc": "Ask doveadm_url for that, by `doveadm who`, instead of a command."},
    )
    deadline: float = field(
        default=10.0,
        metadata={
            "doc": "What has not been answered by then counts as no, and a command is killed. The word of one that "
            "takes longer than failback.word_lasts is worthless.",
            "unit": "s",
            "min": 0.1,
            "max": 3600,
        },
    )
    parallel: int = field(
        default=10,
        metadata={"doc": "So many questions of either kind are under way at once.", "min": 1, "max": 1000},
    )

    @property
    def asks_synced(self) -> bool:
        """Whether anybody knows whether a backend has caught up."""
        return bool(self.command or self.doveadm_url)

    @property
    def asks_drained(self) -> bool:
        """Whether anybody is asked whether a user has left."""
        return bool(self.drained_command or self.drained_by_who)

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield the key and what is wrong with it."""
        yield from _command_faults("command", self.command, _GATE_VALUES)
        yield from _command_faults("drained_command", self.drained_command, _DRAINED_VALUES)
        if self.doveadm_url:
            yield from self._url_faults()
        if self.command and self.doveadm_url:
            yield "command", "is there beside doveadm_url; only one of them can have the last word"
        if self.drained_by_who and self.drained_command:
            yield "drained_command", "is there beside drained_by_who; only one of them can have the last word"
        if self.drained_by_who and not self.doveadm_url:
            yield "drained_by_who", "needs doveadm_url"

    def _url_faults(self) -> Iterator[tuple[str, str]]:
        try:
            url(self.doveadm_url, "host")
        except ValueError as error:
            yield "doveadm_url", str(error)
        if "{host}" not in self.doveadm_url:
            yield "doveadm_url", "has no {host} in it; each backend has to be asked itself"
        if self.doveadm_password_file is None:
            yield "doveadm_password_file", "is missing; doveadm_url needs a password"


class Word(NamedTuple):
    """Whether a backend has caught up, and why not, for the log."""

    synced: bool
    text: str


class _Order(NamedTuple):
    """That a replicator was told to synchronise everybody: for which return, and when by the loop's clock."""

    since: float
    at: float


class _Question(NamedTuple):
    """A question about a backend that is under way, and for which return."""

    since: float
    task: asyncio.Task[Word]


class Gate:
    """Asks about backends; `find_shard` returns the shard of a backend by name. Close it when it is done with.

    Nothing here raises but for bugs and cancellation, and every answer comes within the deadline or a little after.
    Raises OSError or ssl.SSLError if the settings' `ca_file` cannot be used.
    """

    def __init__(self, settings: GateSettings, find_shard: Callable[[str], Shard | None]) -> None:
        self._settings = settings
        self._find_shard = find_shard
        self._doveadm = _doveadm(settings)
        self._returns: dict[str, float] = {}
        self._orders: dict[tuple[str, str], _Order] = {}
        self._questions: dict[str, _Question] = {}
        self._tasks: set[asyncio.Task[Word]] = set()
        self._gate_slots = asyncio.Semaphore(settings.parallel)
        self._drained_slots = asyncio.Semaphore(settings.parallel)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def synced(self, home: Backend, partners: Sequence[Backend], since: float) -> Word:
        """Whether `home`, which came back at `since` (seconds since 1970), has what all of `partners` have.

        Who asks again while the question is under way gets the same answer.
        """
        since = self._return_of(home, since)
        question = self._questions.get(home.name)
        if question is None or question.task.done() or question.since != since:
            question = _Question(since, self._begin(home, partners, since))
            self._questions[home.name] = question
        return await asyncio.shield(question.task)

    async def drained(self, user: str, backend: Backend) -> bool:
        """Whether the backend has no session of the user any more; True when nobody is to be asked."""
        settings = self._settings
        if not settings.asks_drained:
            return True
        ask = self._drained_by_who if settings.drained_by_who else self._drained_by_command
        problem = await self._in_time(self._drained_slots, partial(ask, user, backend))
        if problem:
            level = logging.DEBUG if problem == _SESSIONS else logging.WARNING
            _logger.log(level, "%s: whether %s has left: %s", backend.name, user, problem)
        return not problem

    def _return_of(self, home: Backend, since: float) -> float:
        """The same number for what is told of the same return, for a command might remember it."""
        known = self._returns.get(home.name)
        if known is None or abs(since - known) > _SAME_RETURN:
            known = self._returns[home.name] = since
        return known

    def _begin(self, home: Backend, partners: Sequence[Backend], since: float) -> asyncio.Task[Word]:
        self._questions = {name: each for name, each in self._questions.items() if not each.task.done()}
        task = asyncio.get_running_loop().create_task(self._word(home, partners, since))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _word(self, home: Backend, partners: Sequence[Backend], since: float) -> Word:
        if not self._settings.asks_synced:
            return Word(True, "nobody is to be asked")
        if not partners:
            return Word(False, "there is no partner that could know")
        ask = self._by_command if self._settings.command else self._by_replicators
        problem = await self._in_time(self._gate_slots, partial(ask, home, partners, since))
        return Word(not problem, problem or "it has caught up")

    async def _in_time(self, slots: asyncio.Semaphore, ask: Callable[[], Awaitable[str]]) -> str:
        """Return what is wrong, "" when nothing is; no answer in time is a problem as well."""
        deadline = self._settings.deadline
        try:
            async with asyncio.timeout(deadline), slots:
                return await ask()
        except TimeoutError:
            return f"no answer within {deadline:g} s"
        except (NoAnswer, replicator.Unreadable, commands.Unfit) as error:
            return str(error)
        except OSError as error:
            return f"the question cannot be asked: {error}"

    # --- by a command ---

    async def _by_command(self, home: Backend, partners: Sequence[Backend], since: float) -> str:
        command = self._settings.command
        about_partners = any(name.startswith("partner") for name in commands.placeholders(command))
        for partner in partners if about_partners else partners[:1]:
            values = {"partner": partner.name, "partner_host": partner.host, "since": str(int(since))}
            if problem := await _problem(command, self._about(home) | values):
                return problem
        return ""

    async def _drained_by_command(self, user: str, backend: Backend) -> str:
        return await _problem(self._settings.drained_command, self._about(backend) | {"user": user})

    def _about(self, backend: Backend) -> dict[str, str]:
        shard = self._find_shard(backend.name)
        return {"backend": backend.name, "host": backend.host, "shard": shard.name if shard else ""}

    # --- by Dovecot ---

    async def _by_replicators(self, home: Backend, partners: Sequence[Backend], since: float) -> str:
        """The partners are asked, who know what they have not brought over; `home` itself does not."""
        for partner in partners:
            if problem := await self._by_replicator(partner, await self._order(home, partner, since)):
                return f"{partner.name}: {problem}"
        return ""

    async def _order(self, home: Backend, partner: Backend, since: float) -> _Order:
        """Once after a return, and from time to time, everybody is to be synchronised: nobody tells a replicator that
        its partner is back, nor of messages that were expunged and nothing else."""
        now, every = asyncio.get_running_loop().time, self._settings.replicate_every
        self._orders = {pair: order for pair, order in self._orders.items() if now() - order.at < every}
        known = self._orders.get((home.name, partner.name))
        if known is None or known.since != since:
            replicator.rows(await self._asked(partner, replicator.replicate()))
            known = self._orders[home.name, partner.name] = _Order(since, now())
        return known

    async def _by_replicator(self, partner: Backend, order: _Order) -> str:
        """Ask again and again while there is time; who is stuck is given a push, once."""
        loop = asyncio.get_running_loop()
        give_up, pause = loop.time() + self._settings.deadline * _TIME_TO_ASK, _FIRST_PAUSE
        judgement = await self._judgement(partner, order)
        await self._push(partner, judgement.stuck)
        while judgement.problem and loop.time() + pause < give_up:
            await asyncio.sleep(pause)
            began = loop.time()
            judgement = await self._judgement(partner, order)
            pause = max(2 * pause, 5 * (loop.time() - began))
        return judgement.problem

    async def _judgement(self, partner: Backend, order: _Order) -> replicator.Judgement:
        since = asyncio.get_running_loop().time() - order.at
        answers = [await self._asked(partner, question) for question in _QUESTIONS]
        return await asyncio.to_thread(replicator.judge, *answers, since=since, max_lag=self._settings.max_lag)

    async def _push(self, partner: Backend, users: Sequence[str]) -> None:
        for user in users[:_PUSHED_AT_ONCE]:
            replicator.rows(await self._asked(partner, replicator.replicate(user)))

    async def _drained_by_who(self, user: str, backend: Backend) -> str:
        answer = await self._asked(backend, ("who", {"mask": [user]} if _is_plain(user) else {}))
        return _SESSIONS if replicator.has_sessions(user, answer) else ""

    async def _asked(self, backend: Backend, question: replicator.Question) -> bytes:
        if self._doveadm is None:
            raise NoAnswer("doveadm_url or its password is missing")
        return await self._doveadm.ask(backend.host, *question)


_QUESTIONS: Final = (replicator.STATUS, replicator.SYNCS, replicator.FAILURES)


def _doveadm(settings: GateSettings) -> Doveadm | None:
    if not settings.doveadm_url or settings.doveadm_password_file is None:
        return None
    return Doveadm(settings.doveadm_url, settings.doveadm_password_file, settings.doveadm_auth, settings.ca_file)


async def _problem(command: Sequence[str], values: Mapping[str, str]) -> str:
    done = await commands.run(commands.filled(command, values))
    return f"{command[0]} ends with {done.code}: {done.text}" if done.code else ""


def _is_plain(user: str) -> bool:
    """Whether `doveadm who` takes it for the name of one user: neither a pattern nor an address or network."""
    try:
        ip_network(user, strict=False)
    except ValueError:
        return not set(user) & set("*?")
    return False


def _command_faults(key: str, command: Sequence[str], known: Sequence[str]) -> Iterator[tuple[str, str]]:
    if command and not command[0]:
        yield key, "begins with nothing; give the program first"
    for name in dict.fromkeys(commands.placeholders(command)):
        if name not in known:
            yield key, f"{{{name}}} means nothing here; there is {', '.join(f'{{{each}}}' for each in known)}"

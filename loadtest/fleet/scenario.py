"""What a fleet does: a scenario, read from TOML and checked before anything starts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

SHIPPED = Path(__file__).parent.parent / "scenarios"

MOST_USERS = 500_000
MOST_SESSIONS = 200_000

FOR_BACKENDS = frozenset({"kill", "revive", "drain", "online"})
"""Events that happen to a backend."""

Share = Annotated[float, Meta(gt=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Interval = Annotated[float, Meta(ge=0.05, le=86_400)]
Weight = Annotated[float, Meta(ge=0, le=1_000_000)]
Count = Annotated[int, Meta(ge=1, le=MOST_SESSIONS)]


class BadScenario(Exception):
    """A scenario that cannot be run; the text names the key, what is wrong with it, and what to do."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file."""


class Arrivals(_Table, frozen=True):
    """How clients come: evenly over `seconds` (ramp), or all at once (storm)."""

    pattern: Literal["ramp", "storm"] = "ramp"
    seconds: Seconds = 10.0


class Population(_Table, frozen=True):
    """Sessions of a user: Pareto with exponent `tail` (smaller: more of them in few hands), at most `most`."""

    tail: Annotated[float, Meta(ge=0.5, le=10)] = 1.5
    most: Annotated[int, Meta(ge=1, le=100)] = 12


class Mix(_Table, frozen=True):
    """Weights of the behaviours; a session keeps the one it was given."""

    idle: Weight = 0.0
    poll: Weight = 0.0
    read: Weight = 0.0
    write: Weight = 0.0
    drain: Weight = 0.0
    script: Weight = 0.0
    phone: Weight = 0.0
    wrong: Weight = 0.0
    pipeliner: Weight = 0.0
    slowloris: Weight = 0.0
    garbage: Weight = 0.0
    half_tls: Weight = msgspec.field(default=0.0, name="half-tls")
    silent: Weight = 0.0
    slow_reader: Weight = msgspec.field(default=0.0, name="slow-reader")

    def weights(self) -> dict[str, float]:
        """By the names the file has for them; those with weight 0 are left out."""
        found: dict[str, float] = msgspec.to_builtins(self)
        return {name: weight for name, weight in found.items() if weight > 0}


class Pace(_Table, frozen=True):
    """Mean seconds between what one session does, and between two visits of those who come and go."""

    idle: Interval = 300.0
    """After so long an IDLE is begun anew (RFC 2177 wants less than 29 minutes)."""
    poll: Interval = 10.0
    read: Interval = 10.0
    write: Interval = 20.0
    drain: Interval = 15.0
    script: Interval = 20.0
    phone: Interval = 5.0
    glance: Interval = 3.0
    """For so long a telephone stays."""
    wrong: Interval = 10.0
    pipeliner: Interval = 5.0
    hostile: Interval = 1.0
    """Between being cut off and coming again."""
    back: Seconds = 1.0
    """Within so long a client comes again whose connection was cut."""


class Event(_Table, frozen=True):
    """Something happens at a moment.

    `drop`: a `share` of all clients lose their connections, and come back; `expect`: somebody does something by hand.
    """

    at: Seconds
    do: Literal["kill", "revive", "drain", "online", "drop", "expect"]
    backend: str = ""
    share: Share = 1.0
    settle: Seconds = 30.0
    """Lost connections and refused logins are put down to the event for so long."""


class Limits(_Table, frozen=True):
    """What must hold besides the content and the invariant."""

    overlap: Seconds = 1.0
    """A user may be on two backends for so long."""
    errors: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """So many errors that no event explains, as a share of everything done."""
    cut_off: Seconds = 0.0
    """A hostile client must be cut off within so long; 0: whenever the server likes."""
    back: Seconds = 0.0
    """After each event, as many sessions as before must be there again within so long; 0: not checked."""
    login_p99: Seconds = 0.0
    """Longest p99 from the first packet until logged in; 0: not checked."""
    baseline_p99: Annotated[float, Meta(ge=0, le=100)] = 0.0
    """With --baseline: that p99, divided by the one of a run without hostile clients; 0: not checked."""


class SiteTable(_Table, frozen=True):
    """What is started when no target is given."""

    shards: Annotated[int, Meta(ge=1, le=20)] = 2
    replicas: Annotated[int, Meta(ge=1, le=4)] = 2
    processes: Annotated[int, Meta(ge=1, le=16)] = 1
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    pushes: Annotated[float, Meta(ge=0, le=100)] = 0.0
    """Messages that arrive per second and idling session."""
    extra: str = ""
    """More of Vestibule's configuration, as TOML."""


class Scenario(_Table, frozen=True, kw_only=True):
    """All of it; `users` are those numbered from 0, of whom as many are used as the sessions need."""

    title: str
    about: str = ""
    users: Annotated[int, Meta(ge=1, le=MOST_USERS)] = 10_000
    sessions: Count = 200
    seconds: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    seed: int = 1
    audit: Annotated[int, Meta(ge=0, le=1_000_000)] = 1000
    """Users whose mailbox is compared in the end with what servers acknowledged."""
    message: Annotated[int, Meta(ge=400, le=50_000_000)] = 4000
    """Mean bytes of a message that is written."""
    arrivals: Arrivals = Arrivals()
    population: Population = Population()
    mix: Mix
    pace: Pace = Pace()
    limits: Limits = Limits()
    site: SiteTable = SiteTable()
    event: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        if not self.mix.weights():
            raise ValueError("mix: all weights are 0; give at least one behaviour a weight, such as idle = 1")
        for event in self.event:
            if event.do in FOR_BACKENDS and not event.backend:
                raise ValueError(f"event: {event.do} needs a backend, such as backend = 's1a'")

    def explained(self, at: float) -> bool:
        """Whether an event explains what goes wrong at a moment (seconds since the run began)."""
        return any(event.at <= at <= event.at + event.settle for event in self.event)


def shipped() -> list[str]:
    """The names of the scenarios that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load(name: str, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """A shipped scenario by its name, or one in a file; `overrides` are keys of its top level. Raises BadScenario."""
    path = Path(name) if name.endswith(".toml") else SHIPPED / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise BadScenario(f"{name}: there is no such scenario; shipped are {', '.join(shipped())}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise BadScenario(f"{path}: {fault}") from None
    table |= {key: value for key, value in (overrides or {}).items() if value is not None}
    return parse(table, str(path))


def parse(table: Mapping[str, Any], where: str = "scenario") -> Scenario:
    """A scenario from what TOML gave. Raises BadScenario."""
    try:
        return msgspec.convert(table, Scenario)
    except msgspec.ValidationError as fault:
        raise BadScenario(f"{where}: {_explained(str(fault))}") from None


def _explained(complaint: str) -> str:
    """msgspec's words as an operator's: the key first, then what is wrong with it, then the remedy."""
    said, _, place = complaint.partition(" - at ")
    path = re.sub(r"\[(\d+)\]", lambda match: f"[{int(match[1]) + 1}]", place.strip("`").removeprefix("$").lstrip("."))
    if unknown := re.match(r"Object contains unknown field `(.*)`", said):
        key = f"{path}.{unknown[1]}".lstrip(".")
        return f"{key}: there is no such key; known here: {', '.join(sorted(_keys(path)))}"
    if missing := re.match(r"Object missing required field `(.*)`", said):
        return f"{f'{path}.{missing[1]}'.lstrip('.')}: this key is needed"
    return f"{path}: {said}".removeprefix(": ") + _remedy(path)


def _keys(path: str) -> list[str]:
    table: Any = _TABLES.get(path.partition("[")[0], Scenario)
    return list(table.__struct_encode_fields__)


def _remedy(path: str) -> str:
    name = path.rpartition(".")[2]
    default = _DEFAULTS.get(path)
    return f"; the default is {default!r}" if name and default is not None else ""


_TABLES: Mapping[str, type[_Table]] = {
    "": Scenario,
    "arrivals": Arrivals,
    "population": Population,
    "mix": Mix,
    "pace": Pace,
    "event": Event,
    "limits": Limits,
    "site": SiteTable,
}


def _defaults() -> dict[str, Any]:
    known = msgspec.to_builtins(Scenario(title="", mix=Mix(idle=1)))
    flat = {key: value for key, value in known.items() if not isinstance(value, dict)}
    for table, values in known.items():
        if isinstance(values, dict):
            flat |= {f"{table}.{key}": value for key, value in values.items()}
    return flat


_DEFAULTS = _defaults()

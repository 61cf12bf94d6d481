"""`vestibule loadtest scale`: how many sessions one machine's Vestibule holds, and what each of them costs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtest.figures import this_machine
from loadtest.fleet.children import CrewFailed
from loadtest.fleet.ending import CANNOT, INTERRUPTED, CannotRun, told
from loadtest.fleet.ground import own_ground
from loadtest.fleet.running import Interruption, interruptible
from loadtest.options import positive, seconds
from loadtest.scale.checks import checks
from loadtest.scale.holders import holders
from loadtest.scale.markdown import markdown
from loadtest.scale.outcome import Outcome
from loadtest.scale.plan import HOLD, MOST, PUSH_EVERY, REST, STEPS, Plan, processes_for, workers_for
from loadtest.scale.results import report
from loadtest.scale.room import Room, problems, this_room
from loadtest.scale.running import Running
from loadtest.simulated import SiteFailed
from loadtest.vestibule import VestibuleFailed

DESCRIPTION = (
    "Open tens of thousands of IMAP sessions in TLS through a Vestibule that is started for it, before simulated mail "
    "servers and a simulated directory; measure what each costs, hold them while mail arrives, and close them to zero."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vestibule loadtest scale`."""
    default = ",".join(str(step) for step in STEPS)
    parser.add_argument("--steps", type=_steps, default=STEPS, metavar="N,N...", help=f"sessions (default: {default})")
    parser.add_argument(
        "--hold", type=seconds, default=HOLD, metavar="SECONDS", help="hold the last step so long (%(default)g)"
    )
    parser.add_argument(
        "--push-every",
        type=_interval,
        default=PUSH_EVERY,
        metavar="SECONDS",
        help="mean time between two messages that arrive for a session (%(default)g)",
    )
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="Vestibule's; default: by processors and descriptors"
    )
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write a report for `loadtest report`")
    parser.add_argument("--page", type=Path, metavar="FILE.html", help="write a page with plots of it")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the steps as a table in Markdown")


def run(options: argparse.Namespace) -> int:
    """Do it; the exit code: 0 all checks held, 1 one did not, 2 it could not be run, 130 interrupted."""
    try:
        plan = _plan(options, this_room())
        machine = this_machine()
        with interruptible() as interruption:
            outcome, shards = scale(plan, interruption)
    except (CannotRun, CrewFailed, SiteFailed, VestibuleFailed, OSError) as fault:
        print(f"vestibule: {fault}", file=sys.stderr)
        return CANNOT
    except KeyboardInterrupt:
        return INTERRUPTED
    made = report(plan, outcome, list(checks(plan, outcome)), machine=machine, shards=shards)
    others = {options.markdown: markdown(plan, outcome, made)} if options.markdown else {}
    return told(made, report=options.report, page=options.page, others=others)


def scale(plan: Plan, interruption: Interruption) -> tuple[Outcome, dict[str, str]]:
    """The whole test on a ground of its own; its outcome, and the shards of backends. Raises what its parts raise."""
    _say(f"starting Vestibule with {plan.workers} workers, {plan.shards} shards of backends, a directory and clients")
    with own_ground(plan.scenario) as ground, holders(plan, ground) as clients:
        return Running(plan, ground, clients, interruption, _say).run(), ground.shards


def _plan(options: argparse.Namespace, room: Room) -> Plan:
    """What the options mean on this machine. Raises CannotRun when it has no room for that."""
    last = options.steps[-1]
    plan = Plan(
        steps=options.steps,
        hold=options.hold,
        push_every=options.push_every,
        workers=options.workers or workers_for(last, room.descriptors, room.processors),
        processes=processes_for(last, room.descriptors),
        rest=REST,
    )
    if found := list(problems(plan, room)):
        raise CannotRun("; ".join(found))
    return plan


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _steps(text: str) -> tuple[int, ...]:
    steps = tuple(positive(word) for word in text.split(","))
    if list(steps) != sorted(set(steps)) or steps[-1] > MOST:
        raise argparse.ArgumentTypeError(f"{text}: expected numbers that grow, up to {MOST:,}")
    return steps


def _interval(text: str) -> float:
    return seconds(text, 0.1)

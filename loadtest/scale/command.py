"""`vestibule loadtest scale`: how many sessions one machine's Vestibule holds, and what each of them costs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtest.figures import this_machine
from loadtest.fleet.crew import CrewFailed
from loadtest.fleet.ground import own_ground
from loadtest.fleet.running import Interruption, interruptible
from loadtest.fleet.summary import show
from loadtest.report.model import Report, write
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

HELD, FAILED, CANNOT, INTERRUPTED = 0, 1, 2, 130


class CannotRun(Exception):
    """What was asked for is not possible; the text says why and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vestibule loadtest scale`."""
    default = ",".join(str(step) for step in STEPS)
    parser.add_argument("--steps", type=_steps, default=STEPS, metavar="N,N...", help=f"sessions (default: {default})")
    parser.add_argument(
        "--hold", type=_seconds, default=HOLD, metavar="SECONDS", help="hold the last step so long (%(default)g)"
    )
    parser.add_argument(
        "--push-every",
        type=_interval,
        default=PUSH_EVERY,
        metavar="SECONDS",
        help="mean time between two messages that arrive for a session (%(default)g)",
    )
    parser.add_argument(
        "--workers", type=_positive, metavar="N", help="Vestibule's; default: by processors and descriptors"
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
    return _told(options, plan, outcome, made)


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


def _told(options: argparse.Namespace, plan: Plan, outcome: Outcome, made: Report) -> int:
    show(made, sys.stdout)
    try:
        _write(options, plan, outcome, made)
    except OSError as fault:
        print(f"vestibule: {fault}", file=sys.stderr)
        return CANNOT
    if made.interrupted:
        return INTERRUPTED
    return HELD if made.held else FAILED


def _write(options: argparse.Namespace, plan: Plan, outcome: Outcome, made: Report) -> None:
    if options.report is not None:
        write(made, options.report)
    if options.markdown is not None:
        options.markdown.write_text(markdown(plan, outcome, made))
    if options.page is not None:
        from loadtest.report.page import page  # what draws takes a second to load

        options.page.write_text(page(made))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _steps(text: str) -> tuple[int, ...]:
    steps = tuple(_positive(word) for word in text.split(","))
    if list(steps) != sorted(set(steps)) or steps[-1] > MOST:
        raise argparse.ArgumentTypeError(f"{text}: expected numbers that grow, up to {MOST:,}")
    return steps


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not number:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 1")
    return number


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text}: expected seconds from 0 to 86,400")
    return value


def _interval(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text}: expected seconds from 0.1 to 86,400")
    return value

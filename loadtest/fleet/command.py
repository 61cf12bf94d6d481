"""`vestibule loadtest run`: a fleet of mail clients against Vestibule, or against any proxy that runs already."""

from __future__ import annotations

import argparse
import shlex
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from loadtest.figures import Figure, Machine, this_machine
from loadtest.fleet import checks, results
from loadtest.fleet.accounts import NoAccounts, read_password, read_users
from loadtest.fleet.children import CrewFailed
from loadtest.fleet.clients import Account, Target
from loadtest.fleet.dovecot_log import LoginLog
from loadtest.fleet.ending import CANNOT, INTERRUPTED, CannotRun, told
from loadtest.fleet.ground import Ground, own_ground, sources
from loadtest.fleet.process import most_sessions
from loadtest.fleet.progress import progress
from loadtest.fleet.record import Record
from loadtest.fleet.running import Interruption, Outcome, Plan, interruptible
from loadtest.fleet.running import run as run_fleet
from loadtest.fleet.scenario import FOR_BACKENDS, BadScenario, Scenario, load, shipped
from loadtest.people import PASSWORD
from loadtest.report.model import Check, Report
from loadtest.simulated import SiteFailed
from loadtest.vestibule import VestibuleFailed

DESCRIPTION = "Let a fleet of mail clients loose on Vestibule or on any other proxy, and check what it hears."

ROUNDS = 3
"""Runs without and with hostile clients, in turn, that --baseline makes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vestibule loadtest run`."""
    names = ", ".join(shipped())
    parser.add_argument("scenario", nargs="?", default="steady", help=f"a TOML file, or one of {names} (%(default)s)")
    parser.add_argument("--users", type=int, help="how many users there are")
    parser.add_argument("--sessions", type=int, help="how many clients there are")
    parser.add_argument("--seconds", type=float, help="how long the run lasts, without the audit after it")
    parser.add_argument("--seed", type=int, help="another seed, other users with other behaviours")
    parser.add_argument("--processes", type=int, default=2, help="client processes (default: %(default)s)")
    parser.add_argument("--baseline", action="store_true", help="run without the hostile clients as well, and compare")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write everything that was measured")
    parser.add_argument("--page", type=Path, metavar="FILE.html", help="write a page with plots of it")
    _add_target(parser.add_argument_group("a proxy that runs already", "without --target, everything is started here"))


def _add_target(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--target", metavar="HOST", help="its name, as its certificate has it")
    group.add_argument("--imap-port", type=int, default=993, help="with TLS from the first byte (default: %(default)s)")
    group.add_argument("--pop3-port", type=int, default=995, help="the same (default: %(default)s)")
    group.add_argument("--sieve-port", type=int, default=4190, help="the same (default: %(default)s)")
    group.add_argument(
        "--ca", type=Path, metavar="FILE", help="authorities (PEM) of its certificate, if not the system's"
    )
    group.add_argument("--password-file", type=Path, metavar="FILE", help="with the users' password")
    group.add_argument("--users-file", type=Path, metavar="FILE", help="users, one a line: name or name:password")
    group.add_argument(
        "--backend-log",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="Dovecot's log: who is where; once for each",
    )


def run(options: argparse.Namespace) -> int:
    """Do it; the exit code: 0 all checks held, 1 one did not, 2 it could not be run, 130 interrupted."""
    try:
        scenario, wanted = _prepared(options)
        with interruptible() as interruption, _ground(options, scenario) as ground:
            report = _run(replace(wanted, ground=ground), interruption, options)
    except (BadScenario, NoAccounts, CannotRun, CrewFailed, SiteFailed, VestibuleFailed, OSError) as fault:
        print(f"vestibule: {fault}", file=sys.stderr)
        return CANNOT
    except KeyboardInterrupt:
        return INTERRUPTED
    return told(report, report=options.report, page=options.page)


@dataclass(frozen=True, slots=True)
class _Results:
    """What the last run with everybody gave, and what comparisons add to it."""

    outcome: Outcome
    checks: Sequence[Check] = ()
    figures: Sequence[Figure] = ()


def _prepared(options: argparse.Namespace) -> tuple[Scenario, Plan]:
    """The scenario, and the plan but for its ground. Raises BadScenario, NoAccounts, CannotRun."""
    password = read_password(options.password_file) if options.password_file else PASSWORD
    accounts: list[Account] = read_users(options.users_file, password) if options.users_file else []
    overrides = {name: getattr(options, name) for name in ("users", "sessions", "seconds", "seed")}
    if accounts:
        overrides["users"] = len(accounts)
    scenario = load(options.scenario, overrides)
    _judge(options, scenario)
    nowhere = Ground(Target("", {}))
    return scenario, Plan(scenario, nowhere, options.processes, password, accounts)


def _judge(options: argparse.Namespace, scenario: Scenario) -> None:
    """Raises CannotRun for what cannot be."""
    if options.processes < 1:
        raise CannotRun("--processes: at least 1")
    most = most_sessions()
    if scenario.sessions > most * options.processes:
        least = -(-scenario.sessions // most)
        raise CannotRun(
            f"{scenario.sessions:,} sessions do not fit into {options.processes} processes of {most:,} each: "
            f"use --processes {least}, or raise the limit of open files (ulimit -n) where it is below 20,200"
        )
    if options.target and any(event.do in FOR_BACKENDS for event in scenario.event):
        raise CannotRun(f"{options.scenario}: it has events for backends, which only a site started here has")
    if options.target and not options.password_file and not options.users_file:
        raise CannotRun("--target: give --password-file, or --users-file with passwords")
    if options.backend_log and not options.target:
        raise CannotRun("--backend-log: only with --target; what is started here tells by itself")
    if not all("=" in words for words in options.backend_log):
        raise CannotRun("--backend-log: give NAME=PATH, such as mb1=/var/log/dovecot.log")
    if options.baseline and not scenario.limits.baseline_p99:
        raise CannotRun(f"{options.scenario}: --baseline needs limits.baseline_p99, such as 1.5")


@contextmanager
def _ground(options: argparse.Namespace, scenario: Scenario) -> Iterator[Ground]:
    if options.target:
        with ExitStack() as stack:
            logs = [stack.enter_context(closing(LoginLog(*_named(words)))) for words in options.backend_log]
            yield Ground(_target(options, scenario), logs=logs)
    else:
        print("Starting backends, a directory and Vestibule", flush=True)
        with own_ground(scenario) as ground:
            yield ground


def _named(words: str) -> tuple[str, Path]:
    name, _, path = words.partition("=")
    return name, Path(path)


def _target(options: argparse.Namespace, scenario: Scenario) -> Target:
    try:
        address = str(socket.getaddrinfo(options.target, options.imap_port, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as fault:
        raise CannotRun(f"--target {options.target}: {fault.strerror}") from None
    ports = {"imap": options.imap_port, "pop3": options.pop3_port, "managesieve": options.sieve_port}
    here = address.startswith("127.")
    ca = str(options.ca) if options.ca else ""
    return Target(address, ports, options.target, ca, sources(scenario.sessions) if here else 0)


def _run(plan: Plan, interruption: Interruption, options: argparse.Namespace) -> Report:
    machine = this_machine()
    return _report(plan, (_compared if options.baseline else _once)(plan, interruption), machine)


def _once(plan: Plan, interruption: Interruption) -> _Results:
    with progress(plan.scenario) as watch:
        return _Results(run_fleet(plan, interruption, watch))


def _compared(plan: Plan, interruption: Interruption) -> _Results:
    """Without and with hostile clients in turn, so that whatever else the machine does is on both sides."""
    records: dict[bool, list[Record]] = {False: [], True: []}
    for number, hostile in enumerate([False, True] * ROUNDS):
        print(f"Round {number // 2 + 1} of {ROUNDS}, {'with' if hostile else 'without'} hostile clients", flush=True)
        result = _once(replace(plan, hostile=hostile), interruption)
        records[hostile].append(result.outcome.record)
        if result.outcome.interrupted:
            return result
    check = checks.baseline(plan.scenario, records[False], records[True])
    return _Results(result.outcome, [check], list(_quantiles(records)))


def _quantiles(records: dict[bool, list[Record]]) -> Iterator[Figure]:
    for phase in ("arrival", "login"):
        for hostile, words in ((False, "without hostile clients"), (True, "beside hostile clients")):
            if found := checks.p99s(records[hostile], phase):
                number = sum(record.latencies[phase].count for record in records[hostile] if phase in record.latencies)
                how = f"median of {len(found)} runs ({checks.ranged(found)} ms), {number:,} in all"
                yield Figure(f"p99 of {phase} {words}", median(found) * 1e3, "ms", "", how)


def _report(plan: Plan, result: _Results, machine: Machine) -> Report:
    outcome = result.outcome
    failures = outcome.attendance.failures(outcome.ended) if plan.ground.tells else None
    found = [*checks.checks(plan.scenario, outcome.record, failures, outcome.refused_orders), *result.checks]
    return results.report(
        plan.scenario,
        outcome,
        found,
        command=shlex.join(["vestibule", *sys.argv[1:]]),
        machine=machine,
        shards=plan.ground.shards,
        more=result.figures,
    )

"""`vestibule loadtest compare`: Vestibule and its peers, started from what is installed, measured side by side."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from loadtest import descriptors
from loadtest.compare.clients import ClientsFailed, clients
from loadtest.compare.dovecot import DOVECOT
from loadtest.compare.haproxy import HAPROXY
from loadtest.compare.nginx import NGINX
from loadtest.compare.ours import VESTIBULE
from loadtest.compare.parts import FULL, PARTS, QUICK, Part, Scale
from loadtest.compare.perdition import PERDITION
from loadtest.compare.product import Product
from loadtest.compare.rounds import Results, Rounds, measures
from loadtest.compare.surroundings import surroundings
from loadtest.compare.table import Described, Told, markdown, notes, terminal
from loadtest.figures import this_machine
from loadtest.fleet.ending import CANNOT, INTERRUPTED
from loadtest.options import positive
from loadtest.report.model import Report, write
from loadtest.report.picture import picture

DESCRIPTION = (
    "Start Vestibule, nginx's mail proxy, Dovecot's proxy, Perdition and HAProxy (no login: a lower bound) before the "
    "same backend with the same certificate and directory, and measure them in turn. What is not installed is left out."
)

PRODUCTS = {product.name.lower(): product for product in (VESTIBULE, NGINX, DOVECOT, PERDITION, HAPROXY)}

_SPARE = 1000

_WIDTH = 160
"""Columns of the table where there is no terminal to ask."""

DONE = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vestibule loadtest compare`."""
    choices = f"products ({', '.join(PRODUCTS)}) and parts ({', '.join(PARTS)}), separated by commas"
    parser.add_argument("--only", type=_names, default=(), metavar="NAMES", help=f"some of {choices}; default: all")
    parser.add_argument("--rounds", type=positive, metavar="N", help=f"default: {FULL.rounds}, or {QUICK.rounds} quick")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: a trial, not a measurement")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write a report for `loadtest report`")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="write a picture of the table")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table with its notes as Markdown")


def run(options: argparse.Namespace) -> int:
    """Measure, print and write; the exit code: 0 measured, 2 Vestibule could not be, 130 interrupted."""
    scale = QUICK if options.quick else FULL
    scale = replace(scale, rounds=options.rounds or scale.rounds)
    products, parts = _chosen(options.only)
    if problem := _descriptors(scale, parts):
        print(f"vestibule loadtest compare: {problem}", file=sys.stderr)
        return CANNOT
    machine, began, results = this_machine(), time.time(), Results()
    try:
        with _terminable():
            measure(products, parts, scale, results)
        code = DONE
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (OSError, ClientsFailed) as failure:
        print(f"vestibule loadtest compare: {failure}", file=sys.stderr)
        code = CANNOT
    described = [Described(product.name, product.said_version(), product.has) for product in products]
    found = measures(results, parts, scale)
    told = Told(machine, results.rounds, described, found, results.absent, results.remarks)
    _show(told)
    _write(options, told, _report(told, scale, began, interrupted=code == INTERRUPTED))
    return code or (CANNOT if VESTIBULE.name in results.absent or not told.measures else DONE)


def measure(products: Sequence[Product], parts: Mapping[str, Part], scale: Scale, results: Results) -> None:
    """All rounds; `results` grows meanwhile. Raises OSError and ClientsFailed."""
    with surroundings() as around, clients(around.certificate.chain) as fleet:
        Rounds(around, fleet, scale, results, _progress).run(products, parts)


def _chosen(names: Sequence[str]) -> tuple[list[Product], dict[str, Part]]:
    """The named products, or all if none is named; and so with the parts."""
    products = [product for name, product in PRODUCTS.items() if name in names]
    parts = {name: part for name, part in PARTS.items() if name in names}
    return products or list(PRODUCTS.values()), parts or dict(PARTS)


def _descriptors(scale: Scale, parts: Mapping[str, Part]) -> str:
    """Allow us and all we start as many open files as are needed; what is wrong if that is not possible."""
    most = max(scale.idle[1] if "idle" in parts else 0, scale.storm if "storm" in parts else 0)
    needed = 2 * most + _SPARE
    descriptors.allow(descriptors.MOST)
    if (hard := descriptors.allowed()) < needed:
        return (
            f"{needed:,} open files are needed for each process, {hard:,} are allowed; raise ulimit -n, or use --quick"
        )
    return ""


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the measurement as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(told: Told) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    if told.measures:
        console.print(terminal(told))
    for note in notes(told):
        console.print(f"- {note}", markup=False)


def _report(told: Told, scale: Scale, began: float, *, interrupted: bool) -> Report:
    scenario: dict[str, Any] = asdict(scale)
    scenario["products"] = [str(product) for product in told.products]
    scenario["left out"] = dict(told.absent)
    scenario["remarks"] = list(told.remarks)
    return Report(
        title="Vestibule and its peers",
        command="compare",
        scenario=scenario,
        began=began,
        seconds=time.time() - began,
        machine=told.machine,
        measures=list(told.measures),
        interrupted=interrupted,
    )


def _write(options: argparse.Namespace, told: Told, report: Report) -> None:
    if options.report is not None:
        write(report, options.report)
    if options.markdown is not None:
        options.markdown.write_text(markdown(told))
    if options.picture is not None:
        pictured = [measure for measure in told.measures if any(spread.most for spread in measure.values.values())]
        options.picture.write_text(picture(pictured))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(","))
    if unknown := sorted(set(names) - PRODUCTS.keys() - PARTS.keys()):
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join([*PRODUCTS, *PARTS])}")
    return names

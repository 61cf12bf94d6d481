"""A report as one HTML file that needs nothing else: no network, no script, no font."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from loadtest.figures import Figure, shown
from loadtest.report.amounts import amount, clock, duration, moment
from loadtest.report.goals import met
from loadtest.report.model import Group, Report, products, verdict
from loadtest.report.picture import drawn
from loadtest.report.pieces import Key, card, document, pairs, plot, section, table, text
from loadtest.report.plots import MOST_SHARES, by_backend, by_phase
from loadtest.report.svg import SERIES, VARIABLES
from loadtest.report.timelines import timeline

_MOST_TILES = 12
_MOST_ROWS = 500
_GOAL = {True: "met", False: "missed", None: "goal"}
_OVER_TIME: tuple[Group, ...] = ("sessions", "logins", "latency", "transfer", "cpu", "memory")


def page(report: Report) -> str:
    """The file's text. Whatever the run wrote is escaped, however hostile its clients and servers were."""
    body = (
        section("Key figures", _tiles(report)),
        section("Checks", _checks(report)),
        section("Side by side", _measures(report)),
        section("Over time", _plots(report)),
        section("Latency of each phase", _latencies(report)),
        section("Errors", _errors(report)),
        section("Distribution over backends", _distribution(report)),
        section("Scenario", card(pairs(flat(report.scenario))) if report.scenario else ""),
        section("Taken on", card(pairs(_taken_on(report)))),
    )
    return document(report.title, _head(report), "".join(body))


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """A scenario's settings with the whole path of each name."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield above + name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _head(report: Report) -> str:
    good, words = verdict(report.checks)
    stopped = '<p class="note">Interrupted: this is what was measured until then.</p>' if report.interrupted else ""
    return (
        f'<h1>{text(report.title)}</h1><p class="when">{moment(report.began)}, {duration(report.seconds)}</p>'
        f'<p class="verdict {"good" if good else "bad"}">{words}</p>{stopped}'
    )


def _tiles(report: Report) -> str:
    tiles = "".join(_tile(figure) for figure in report.figures[:_MOST_TILES])
    rest = [_figure(figure) for figure in report.figures[_MOST_TILES:]]
    further = card(table(("", "Measured", "Goal", "How it was taken"), rest, words=(0, 2, 3))) if rest else ""
    return f'<div class="tiles">{tiles}</div>{further and "<br>" + further}' if tiles else ""


def _tile(figure: Figure) -> str:
    goal = (
        f'<em class="{_GOAL[met(figure)]}">goal {text(figure.goal.replace("<=", "≤").replace(">=", "≥"))}</em>'
        if figure.goal
        else ""
    )
    how = f"<em>{text(figure.how)}</em>" if figure.how else ""
    unit = f" <small>{text(figure.unit)}</small>" if figure.unit else ""
    return f'<div class="tile"><span>{text(figure.name)}</span><b>{amount(figure.value, "")}{unit}</b>{goal}{how}</div>'


def _figure(figure: Figure) -> tuple[str, ...]:
    return text(figure.name), text(amount(figure.value, figure.unit)), text(figure.goal), text(figure.how)


def _checks(report: Report) -> str:
    items = "".join(
        f'<li class="{"good" if check.held else "bad"}"><b>{text(check.name)}</b>'
        f"<span>{text(check.text, 1000)}</span></li>"
        for check in sorted(report.checks, key=lambda check: check.held)
    )
    return card(f'<ul class="checks">{items}</ul>') if items else ""


def _measures(report: Report) -> str:
    if not report.measures:
        return ""
    names = products(report.measures)
    rows = [
        (
            text(measure.name),
            text(measure.unit),
            *(_spread(measure.values.get(name)) for name in names),
            text(measure.how, 2000),
        )
        for measure in report.measures
    ]
    svg = drawn(report.measures, name="measures", title="Products side by side")
    told = table(("", "Unit", *names, "How it was taken"), rows, words=(0, 1, 2 + len(names)))
    return card(f"<figure>{svg}</figure>") + card(told)


def _spread(spread: Any) -> str:
    if spread is None:
        return "–"
    return f"{shown(spread.median)}<br><small>{shown(spread.least)} to {shown(spread.most)}</small>"


def _plots(report: Report) -> str:
    plots = "".join(timeline(group, [report]) for group in _OVER_TIME)
    return f'<div class="plots">{plots}</div>' if plots else ""


def _latencies(report: Report) -> str:
    if not report.latencies:
        return ""
    rows = [
        (text(row.phase), shown(row.count), *map(duration, (row.p50, row.p90, row.p99, row.p999, row.most)))
        for row in report.latencies[:_MOST_ROWS]
    ]
    svg = by_phase("phases", "Latency of each phase", [report.latencies])
    note = "large dot: median; then p90, p99, p99.9; bar: the longest; logarithmic"
    told = table(("Phase", "Count", "Median", "p90", "p99", "p99.9", "Longest"), rows, words=(0,))
    return f'<div class="plots">{plot("Quantiles", note, svg)}<div class="card">{told}</div></div>'


def _errors(report: Report) -> str:
    if not report.errors:
        return card("No errors.") if report.latencies or report.series else ""
    rows = [
        (text(error.kind), shown(error.count), clock(error.first), f"<code>{text(error.example)}</code>")
        for error in report.errors[:_MOST_ROWS]
    ]
    told = card(table(("Kind", "Count", "First at", "One of them"), rows, words=(0, 3)))
    return told + timeline("errors", [report], wide=True)


def _distribution(report: Report) -> str:
    if not report.distribution:
        return ""
    left_out = len(report.distribution) - MOST_SHARES
    note = f"{left_out} more are not shown" if left_out > 0 else ""
    shards = dict.fromkeys(sorted(share.shard for share in report.distribution))
    keys = [Key(shard, VARIABLES[SERIES[number % len(SERIES)]]) for number, shard in enumerate(shards)][:MOST_SHARES]
    return plot("Backends", note, by_backend("shares", "Distribution over backends", report.distribution), keys)


def _taken_on(report: Report) -> Iterator[tuple[str, str]]:
    yield "Command", report.command
    yield "Began", moment(report.began)
    yield "Machine", str(report.machine)

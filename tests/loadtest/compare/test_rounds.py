"""Rounds over parts and products that only pretend, and what comes of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.compare.clients import Clients
from loadtest.compare.parts import Bench, Part, Refused, Row, Scale
from loadtest.compare.product import NotHere, Product, Running
from loadtest.compare.rounds import Results, Rounds, measures, spread
from loadtest.compare.surroundings import Surroundings

from .trial import TINY

SCALE = Scale(rounds=3, settle=0.0)


def product(name: str) -> Product:
    """The backend itself behind TLS is nobody's product: this one only says that it runs."""

    @contextmanager
    def start(around: Surroundings, folder: Path, port: int) -> Iterator[Running]:
        if name == "absent":
            raise NotHere("not installed")
        yield Running(port, ())

    return Product(name=name, has="", start=start)


def part(*names: str, fresh: bool = False) -> Part:
    def take(bench: Bench) -> tuple[float, ...]:
        if bench.product.name == "weak":
            raise Refused("no more")
        if bench.product.name == "odd":
            bench.remarks.append("strange")
        return tuple(float(len(name)) for name in names)

    return Part(lambda scale: tuple(Row(name=name, unit="", how="") for name in names), take, fresh)


def rounds(around: Surroundings, fleet: Clients, told: list[str]) -> Rounds:
    return Rounds(around, fleet, SCALE, Results(), told.append)


@pytest.fixture(autouse=True)
def _nobody_logs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.compare.rounds.warm_up", lambda bench: None)


def test_every_product_is_measured_in_every_round(around: Surroundings, fleet: Clients) -> None:
    told: list[str] = []
    measured = rounds(around, fleet, told)
    measured.run([product("one"), product("other")], {"p": part("x", "yy"), "q": part("zzz", fresh=True)}, seed=1)
    assert measured.results.values == {
        "x": {"one": [1.0] * 3, "other": [1.0] * 3},
        "yy": {"one": [2.0] * 3, "other": [2.0] * 3},
        "zzz": {"one": [3.0] * 3, "other": [3.0] * 3},
    }
    assert len([line for line in told if line.startswith("round")]) == 3 * 2 * 2


def test_what_cannot_be_started_or_does_not_hold_out_is_left_out(around: Surroundings, fleet: Clients) -> None:
    measured = rounds(around, fleet, [])
    measured.run([product("absent"), product("weak"), product("sound")], {"p": part("x")})
    assert measured.results.absent == {"absent": "not installed", "weak: p": "no more"}
    assert set(measured.results.values["x"]) == {"sound"}


def test_rounds_that_were_not_begun_do_not_count() -> None:
    results = Results()
    assert results.rounds == 0
    results.add("login", "a", 1.0)
    results.add("login", "a", 2.0)
    results.add("login", "b", 1.0)
    assert results.rounds == 2


def test_a_remark_says_where_it_belongs(around: Surroundings, fleet: Clients) -> None:
    measured = rounds(around, fleet, [])
    measured.run([product("odd")], {"p": part("x")})
    assert measured.results.remarks[0] == "round 1 of 3: p: odd: strange"
    assert len(measured.results.remarks) == 3


def test_measures_stand_in_the_order_of_the_parts() -> None:
    results = Results()
    for value in (3.0, 1.0, 2.0):
        results.add("second", "one", value)
        results.add("first", "one", value * 10)
    found = measures(results, {"a": part("first", "never"), "b": part("second")}, TINY)
    assert [measure.name for measure in found] == ["first", "second"]
    assert found[1].values["one"] == spread([1.0, 2.0, 3.0])


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_the_median_is_within_the_range(values: list[float]) -> None:
    found = spread(values)
    assert found.least == min(values) <= found.median <= found.most == max(values)

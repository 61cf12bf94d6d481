"""Every part with tiny counts, on Vestibule itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loadtest.compare.client import Outcome
from loadtest.compare.clients import Clients
from loadtest.compare.ours import VESTIBULE
from loadtest.compare.parts import FULL, PARTS, QUICK, Refused, Scale, warm_up, whole
from loadtest.compare.product import Running
from loadtest.compare.surroundings import Surroundings

from .trial import TINY, bench, trial


@pytest.fixture(scope="module")
def running(around: Surroundings) -> Iterator[Running]:
    with trial(VESTIBULE, around) as found:
        yield found


@pytest.mark.parametrize("name", PARTS)
def test_a_part_has_a_value_for_each_of_its_measures(
    name: str, running: Running, around: Surroundings, fleet: Clients
) -> None:
    values = PARTS[name].take(bench(VESTIBULE, running, around, fleet))
    assert len(values) == len(PARTS[name].rows(TINY))
    assert name in ("idle", "noop", "storm") or all(value > 0 for value in values)


def test_a_product_is_warmed_up(running: Running, around: Surroundings, fleet: Clients) -> None:
    before = running.cpu_seconds()
    warm_up(bench(VESTIBULE, running, around, fleet))
    assert running.cpu_seconds() > before


@pytest.mark.parametrize("scale", [FULL, QUICK, TINY])
def test_every_measure_has_a_name_of_its_own_and_says_how_it_is_taken(scale: Scale) -> None:
    rows = [row for part in PARTS.values() for row in part.rows(scale)]
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.how and row.unit for row in rows)


def test_nobody_may_be_refused_where_it_would_spoil_a_figure() -> None:
    fine = Outcome(seconds=[1.0])
    assert whole(fine) is fine
    with pytest.raises(Refused, match="2 clients were refused: no more"):
        whole(Outcome(refused=2, reasons=["no more"]))

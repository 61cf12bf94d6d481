"""The counters in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.counters import Counters, Family, Kind

PREFIX = "vestibule_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class SlabCollector(Collector):
    """Reads the shared memory each time it is asked."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        """One metric for each family of the table."""
        for family in self._counters.families:
            yield _BUILDERS[family.kind](self._counters, family)


def exposition(counters: Counters) -> bytes:
    """The body of `/metrics`, format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SlabCollector(counters))
    return generate_latest(registry)


def _counter(counters: Counters, family: Family) -> Metric:
    metric = CounterMetricFamily(PREFIX + family.name, family.text, labels=family.labels)
    for labels in family.values:
        metric.add_metric(labels, counters.number(family.name, labels))
    return metric


def _gauge(counters: Counters, family: Family) -> Metric:
    metric = GaugeMetricFamily(PREFIX + family.name, family.text, labels=family.labels)
    for labels in family.values:
        metric.add_metric(labels, counters.number(family.name, labels))
    return metric


def _state(counters: Counters, family: Family) -> Metric:
    metric = GaugeMetricFamily(PREFIX + family.name, family.text, labels=(*family.labels, "worker"))
    for slot, slab in enumerate(counters.workers):
        for labels in family.values:
            metric.add_metric((*labels, str(slot)), slab.number(family.name, labels))
    return metric


def _histogram(counters: Counters, family: Family) -> Metric:
    metric = HistogramMetricFamily(PREFIX + family.name, family.text, labels=family.labels)
    bounds = [*(f"{bound:g}" for bound in family.bounds), "+Inf"]
    for labels in family.values:
        found = counters.distribution(family.name, labels)
        metric.add_metric(labels, list(zip(bounds, accumulate(found.counts), strict=True)), found.total)
    return metric


_BUILDERS: dict[Kind, Callable[[Counters, Family], Metric]] = {
    Kind.COUNTER: _counter,
    Kind.GAUGE: _gauge,
    Kind.STATE: _state,
    Kind.FACT: _gauge,
    Kind.HISTOGRAM: _histogram,
}

"""What is counted where, who sees it, and what a restart leaves."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.counters import CACHE_LINE, Counters, Distribution, Family, Kind, live_workers
from proxy.families import families

TABLE = (
    Family("sessions", "Open.", Kind.GAUGE, ("protocol",), (("imap",), ("pop3",))),
    Family(
        "logins_total",
        "Tried.",
        Kind.COUNTER,
        ("protocol", "outcome"),
        (("imap", "ok"), ("imap", "no"), ("pop3", "ok")),
    ),
    Family("step_seconds", "Took.", Kind.HISTOGRAM, ("step",), (("tls",),), (0.1, 1.0)),
    Family("heartbeat", "Beat.", Kind.STATE),
    Family("draining", "Ends.", Kind.FACT),
    Family("lost_total", "Lost.", Kind.COUNTER),
)


def test_every_series_has_its_own_place() -> None:
    counters = Counters(TABLE, workers=2)
    for slab in (*counters.workers, counters.supervisor):
        slab.gauge("sessions", "imap").set(1)
        slab.gauge("sessions", "pop3").set(2)
        slab.counter("logins_total", "imap", "ok").add()
        slab.counter("logins_total", "imap", "no").add(10)
        slab.counter("lost_total").add(5)
        slab.histogram("step_seconds", "tls").observe(0.5)
        slab.gauge("draining").set(7)
    assert counters.number("sessions", ("imap",)) == 3
    assert counters.number("sessions", ("pop3",)) == 6
    assert counters.number("logins_total", ("imap", "ok")) == 3
    assert counters.number("logins_total", ("imap", "no")) == 30
    assert counters.number("logins_total", ("pop3", "ok")) == 0
    assert counters.number("lost_total") == 15
    assert counters.distribution("step_seconds", ("tls",)) == Distribution((0.1, 1.0), (0, 3, 0), 1.5)


def test_a_bucket_holds_what_is_less_than_or_equal_to_its_bound() -> None:
    counters = Counters(TABLE, workers=1)
    histogram = counters.workers[0].histogram("step_seconds", "tls")
    for seconds in (0.0, 0.1, 0.1000001, 1.0, 1.5, 1000.0):
        histogram.observe(seconds)
    assert counters.distribution("step_seconds", ("tls",)).counts == (2, 2, 2)


def test_counters_can_be_had_by_the_label_that_follows() -> None:
    slab = Counters(TABLE, workers=1).workers[0]
    outcomes = slab.counters("logins_total", "imap")
    assert set(outcomes) == {"ok", "no"}
    outcomes["no"].add()
    assert slab.number("logins_total", ("imap", "no")) == 1


def test_gauges_can_be_had_by_the_label_that_follows() -> None:
    slab = Counters(TABLE, workers=1).workers[0]
    gauges = slab.gauges("sessions")
    assert set(gauges) == {"imap", "pop3"}
    gauges["pop3"].set(4)
    assert slab.number("sessions", ("pop3",)) == 4


def test_a_worker_that_starts_forgets_the_gauges_of_its_predecessor_and_keeps_the_counters() -> None:
    counters = Counters(TABLE, workers=2)
    first, second = counters.workers
    for slab in (first, second):
        slab.gauge("sessions", "imap").set(5)
        slab.gauge("heartbeat").set(99.5)
        slab.counter("lost_total").add()
        slab.histogram("step_seconds", "tls").observe(2)
    counters.supervisor.gauge("draining").set(1)
    first.start()
    assert counters.number("sessions", ("imap",)) == 5
    assert first.number("heartbeat") == 0
    assert second.number("heartbeat") == 99.5
    assert counters.number("lost_total") == 2
    assert sum(counters.distribution("step_seconds", ("tls",)).counts) == 2
    assert counters.number("draining") == 1


def test_another_process_sees_what_is_counted_and_its_death_loses_nothing() -> None:
    counters = Counters(TABLE, workers=1)
    child = os.fork()
    if child == 0:
        counters.workers[0].counter("lost_total").add(42)
        counters.workers[0].histogram("step_seconds", "tls").observe(0.05)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert counters.number("lost_total") == 42
    assert counters.distribution("step_seconds", ("tls",)).counts == (1, 0, 0)


def test_slabs_do_not_share_a_cache_line() -> None:
    counters = Counters((Family("one", "One.", Kind.COUNTER),), workers=3)
    sizes = {slab.whole.nbytes for slab in counters.workers}
    assert sizes == {CACHE_LINE}


def test_a_table_may_be_empty() -> None:
    assert Counters((), workers=1).families == ()


def test_a_series_that_the_table_does_not_have_is_refused() -> None:
    slab = Counters(TABLE, workers=1).workers[0]
    for labels in (("smtp", "ok"), ("imap",), ()):
        with pytest.raises(KeyError):
            slab.counter("logins_total", *labels)
    with pytest.raises(KeyError):
        slab.gauge("unknown")


def test_a_handle_of_the_wrong_kind_is_refused() -> None:
    slab = Counters(TABLE, workers=1).workers[0]
    with pytest.raises(TypeError, match="sessions is a gauge"):
        slab.counter("sessions", "imap")
    with pytest.raises(TypeError):
        slab.histogram("lost_total")
    with pytest.raises(TypeError):
        slab.gauge("lost_total")


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["ok", "no"]), st.integers(0, 10**12))))
def test_the_sum_over_the_slabs_is_what_was_counted(counts: list[tuple[int, str, int]]) -> None:
    counters = Counters(TABLE, workers=3)
    for slot, outcome, amount in counts:
        counters.workers[slot].counter("logins_total", "imap", outcome).add(amount)
    for outcome in ("ok", "no"):
        wanted = sum(amount for _, found, amount in counts if found == outcome)
        assert counters.number("logins_total", ("imap", outcome)) == wanted


def test_a_worker_is_alive_while_its_heart_beats() -> None:
    table = families(protocols=["imap"], backends=[], outcomes=[], certificates=[])
    counters = Counters(table, workers=3)
    counters.workers[0].gauge("worker_heartbeat_seconds").set(100.0)
    counters.workers[1].gauge("worker_heartbeat_seconds").set(89.9)
    assert [slot for slot, _ in live_workers(counters, now=100.0, patience=10.0)] == [0]

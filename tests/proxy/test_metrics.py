"""The counters as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from proxy.counters import Counters, Family, Kind
from proxy.families import families
from proxy.metrics import PREFIX, exposition


def samples(counters: Counters) -> dict[str, float]:
    """Every sample by its name and labels."""
    return {
        sample.name.removeprefix(PREFIX)
        + "".join(f"|{key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition(counters).decode())
        for sample in family.samples
    }


def test_every_kind_of_family_is_shown_as_what_it_is() -> None:
    counters = Counters(
        (
            Family("logins_total", "Tried.", Kind.COUNTER, ("protocol",), (("imap",),)),
            Family("sessions", "Open.", Kind.GAUGE, ("protocol",), (("imap",),)),
            Family("heartbeat", "Beat.", Kind.STATE),
            Family("draining", "Ends.", Kind.FACT),
            Family("step_seconds", "Took.", Kind.HISTOGRAM, ("step",), (("tls",),), (0.1, 1.0)),
        ),
        workers=2,
    )
    for slot, slab in enumerate(counters.workers):
        slab.counter("logins_total", "imap").add(2)
        slab.gauge("sessions", "imap").set(3)
        slab.gauge("heartbeat").set(10 + slot)
        slab.histogram("step_seconds", "tls").observe(0.5 + slot)
    counters.supervisor.gauge("draining").set(1)
    assert samples(counters) == {
        "logins_total|protocol=imap": 4,
        "sessions|protocol=imap": 6,
        "heartbeat|worker=0": 10,
        "heartbeat|worker=1": 11,
        "draining": 1,
        "step_seconds_bucket|le=0.1|step=tls": 0,
        "step_seconds_bucket|le=1|step=tls": 1,
        "step_seconds_bucket|le=+Inf|step=tls": 2,
        "step_seconds_count|step=tls": 2,
        "step_seconds_sum|step=tls": 2.0,
    }


def test_the_daemons_whole_table_can_be_shown() -> None:
    table = families(protocols=["imap"], backends=['odd"name\n'], outcomes=["limit"], certificates=["/tls/a.pem"])
    shown = samples(Counters(table, workers=1))
    assert shown["worker_accepting|worker=0"] == 0
    assert shown["certificate_expiry_timestamp_seconds|file=/tls/a.pem"] == 0
    assert all(name.split("|")[0].split("_bucket")[0] for name in shown)

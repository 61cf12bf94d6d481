"""Shards, backends and how they are watched: explained, within limits, and faults named."""

from __future__ import annotations

from dataclasses import MISSING, fields

import pytest

from director.sections import BackendSettings, HealthSettings, ShardSettings


@pytest.mark.parametrize("settings", [BackendSettings, ShardSettings, HealthSettings])
def test_every_key_is_explained_and_its_default_is_within_its_limits(
    settings: type[BackendSettings | ShardSettings | HealthSettings],
) -> None:
    for setting in fields(settings):
        assert setting.metadata["doc"].endswith(".")
        if "min" in setting.metadata and setting.default is not MISSING:
            assert setting.metadata["min"] <= setting.default <= setting.metadata["max"]


@pytest.mark.parametrize(
    "host", ["mb1", "mb1.example", "MB_1.example.", "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "::1"]
)
def test_hosts_are_names_or_addresses(host: str) -> None:
    assert list(BackendSettings(name="mb1", host=host).faults()) == []


@pytest.mark.parametrize(
    "host", ["", " ", "mb1:143", "cafe:143", "[::1]", "-mb1", "imap://mb1", "mb1 .example", "m" * 255]
)
def test_anything_else_is_no_host(host: str) -> None:
    ((key, message),) = BackendSettings(name="mb1", host=host).faults()
    assert key == "host"
    assert "without port and brackets" in message


def test_a_backend_needs_a_name() -> None:
    assert [key for key, _ in BackendSettings(name=" ", host="mb1").faults()] == ["name"]


def test_ports_are_for_known_protocols_and_possible() -> None:
    ports = {"imap": 143, "pop3": 65535, "managesieve": 1}
    assert list(BackendSettings(name="mb1", host="mb1", ports=ports).faults()) == []
    wrong = {"smtp": 25, "imap": 0, "pop3": 65536}
    assert list(BackendSettings(name="mb1", host="mb1", ports=wrong).faults()) == [
        ("ports.smtp", "is no protocol; use imap, pop3, managesieve"),
        ("ports.imap", "0 is no port; use 1 to 65535"),
        ("ports.pop3", "65536 is no port; use 1 to 65535"),
    ]


def test_a_shard_needs_a_name_and_backends_of_different_names() -> None:
    one, same = BackendSettings(name="mb1", host="mb1"), BackendSettings(name="MB1", host="mb2")
    assert [key for key, _ in ShardSettings(name="", backend=()).faults()] == ["name", "backend"]
    assert list(ShardSettings(name="s1", backend=(one,)).faults()) == []
    assert list(ShardSettings(name="s1", backend=(one, same)).faults()) == [
        ("backend", "2 backends are called 'mb1'; give each a name of its own")
    ]


def test_a_probe_that_logs_in_needs_somebody_who_may() -> None:
    assert list(HealthSettings().faults()) == []
    assert list(HealthSettings(probe="login", probe_user="probe").faults()) == []
    ((key, message),) = HealthSettings(probe="login").faults()
    assert key == "probe_user"
    assert "somebody who may log in" in message

"""Settings are explained, have limits, and say what contradicts itself."""

from dataclasses import MISSING, fields

import pytest

from director import BackendSettings, DirectorSettings, ShardSettings
from tests.director.examples import backend


@pytest.mark.parametrize("settings", [BackendSettings, ShardSettings, DirectorSettings])
def test_every_key_is_explained(settings: type[BackendSettings | ShardSettings | DirectorSettings]) -> None:
    for setting in fields(settings):
        assert setting.metadata["doc"].endswith(".")


@pytest.mark.parametrize("settings", [BackendSettings, DirectorSettings])
def test_every_default_is_within_its_limits(settings: type[BackendSettings | DirectorSettings]) -> None:
    for setting in fields(settings):
        if "min" in setting.metadata and setting.default is not MISSING:
            assert setting.metadata["min"] <= setting.default <= setting.metadata["max"]


def test_the_defaults_are_those_of_the_manual() -> None:
    settings = DirectorSettings()
    assert (settings.store, settings.stay, settings.failures_to_down) == ("memory", 900.0, 2)
    assert (settings.retry_down_after, settings.max_assignments) == (15.0, 1_000_000)


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


def test_a_shard_needs_a_name_and_a_backend() -> None:
    assert [key for key, _ in ShardSettings(name="", backend=()).faults()] == ["name", "backend"]
    assert list(ShardSettings(name="s1", backend=(backend("mb1"),)).faults()) == []


def test_backends_of_a_shard_have_different_names() -> None:
    settings = ShardSettings(name="s1", backend=(backend("mb1"), backend("MB1"), backend("mb2")))
    assert list(settings.faults()) == [("backend", "2 backends are called 'mb1'; give each a name of its own")]

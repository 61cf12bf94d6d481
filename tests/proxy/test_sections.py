"""The rules inside each section of the configuration file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import pytest

from proxy.reading import keys
from proxy.sections import (
    AdminSettings,
    AuthSettings,
    BackendLoginSettings,
    ListenerSettings,
    LogSettings,
    NodeSettings,
    ProtocolTexts,
    Timeouts,
    is_ip,
    split_address,
)
from tests.proxy.example import SMALLEST, faults_of, good_settings


class Ruled(Protocol):
    def faults(self) -> Iterator[tuple[str, str]]: ...


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("127.0.0.1:143", ("127.0.0.1", 143)),
        ("[::]:993", ("::", 993)),
        ("[2001:db8::1]:0", ("2001:db8::1", 0)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_an_address_is_an_ip_address_and_a_port(address: str, endpoint: tuple[str, int]) -> None:
    assert split_address(address) == endpoint


@pytest.mark.parametrize(
    "address",
    ["", "143", ":143", "localhost:143", "::1:143", "[127.0.0.1]:143", "[::1]", "[::1]143", "1.2.3.4:", "1.2.3.4:x",
     "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:١٤٣", "1.2.3.4:000143", "1.2.3:143", "[::1]x:143"],
)  # fmt: skip
def test_anything_else_is_no_address(address: str) -> None:
    with pytest.raises(ValueError):
        split_address(address)
    assert dict(ListenerSettings(protocol="imap", address=address).faults())["address"].startswith(
        f'found "{address}", '
    )
    if address:
        assert "metrics" in dict(AdminSettings(metrics=address).faults())


def keys_at_fault(settings: Ruled) -> list[str]:
    return [key for key, _ in settings.faults()]


@pytest.mark.parametrize(
    ("cls", "values", "wrong"),
    [
        (ListenerSettings, {"protocol": "imap", "address": "[::]:993"}, []),
        (ListenerSettings, {"protocol": "imap", "address": "[::]:143", "tls": "off"}, ["tls"]),
        (ListenerSettings, {"protocol": "imap", "address": "[::]:143", "tls": "off", "plaintext_auth": True}, []),
        (
            ListenerSettings,
            {"protocol": "imap", "address": "[::]:143", "tls": "off", "proxy_protocol_from": ("net",)},
            [],
        ),
        (ListenerSettings, {"protocol": "imap", "address": "[::]:143", "tls": "off", "forwarded_from": ("net",)}, []),
        (
            ListenerSettings,
            {"protocol": "imap", "address": "[::]:143", "tls": "off", "plaintext_auth": True, "client_ca": "ca"},
            ["client_ca"],
        ),
        (BackendLoginSettings, {}, []),
        (BackendLoginSettings, {"mode": "master"}, ["master_user", "master_password_file"]),
        (BackendLoginSettings, {"mode": "master", "master_user": "m", "master_password_file": "f"}, []),
        (BackendLoginSettings, {"master_user": "m"}, ["mode"]),
        (BackendLoginSettings, {"master_password_file": "f"}, ["mode"]),
        (BackendLoginSettings, {"source_addresses": ("192.0.2.1", "mail", "::1")}, ["source_addresses[1]"]),
        (AuthSettings, {}, []),
        (AuthSettings, {"masters": ("root",)}, ["masters_from"]),
        (AuthSettings, {"masters": ("root",), "masters_from": ("net",), "master_separator": "*"}, []),
        (AuthSettings, {"master_separator": "*"}, ["master_separator"]),
        (Timeouts, {}, []),
        (Timeouts, {"login": 20.0}, ["login_budget"]),
        (AdminSettings, {}, []),
        (AdminSettings, {"metrics": ""}, []),
        (AdminSettings, {"metrics": "[::1]:9390"}, []),
        (AdminSettings, {"metrics": "192.0.2.1:9390"}, ["allow_from"]),
        (AdminSettings, {"metrics": "0.0.0.0:9390", "allow_from": ("net",)}, []),
    ],
)
def test_each_section_judges_its_own_keys(cls: type[Ruled], values: Mapping[str, Any], wrong: list[str]) -> None:
    assert keys_at_fault(cls(**values)) == wrong


@pytest.mark.parametrize(
    "cls",
    [
        AdminSettings,
        AuthSettings,
        BackendLoginSettings,
        ListenerSettings,
        LogSettings,
        NodeSettings,
        ProtocolTexts,
        Timeouts,
    ],
)
def test_every_key_is_explained_in_a_sentence(cls: type) -> None:
    for field, _ in keys(cls):
        assert field.metadata["doc"].rstrip('"').endswith((".", "?")), field.name


def test_every_default_can_be_written_in_the_file() -> None:
    assert faults_of(SMALLEST) == []
    assert good_settings().listener[0].endpoint == ("127.0.0.1", 0)
    assert good_settings().admin.endpoint == ("127.0.0.1", 9390)


def test_workers_are_one_for_each_core_we_may_use() -> None:
    assert NodeSettings(workers=3).worker_count == 3
    assert NodeSettings().worker_count == len(os.sched_getaffinity(0))


def test_a_switched_off_admin_address_has_no_endpoint() -> None:
    assert AdminSettings(metrics="").endpoint is None


def test_a_secret_is_never_part_of_what_is_printed() -> None:
    from proxy.protocols.secret import Secret

    assert "hunter2" not in repr(BackendLoginSettings(master_password=Secret(b"hunter2")))


def test_ip_addresses_are_told_from_names() -> None:
    assert is_ip("::1")
    assert not is_ip("localhost")

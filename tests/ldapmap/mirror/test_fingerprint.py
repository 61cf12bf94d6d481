"""What makes a mirror's file one of other settings."""

from dataclasses import replace
from typing import Any

import pytest

from ldapmap.mirror.fingerprint import fingerprint
from ldapmap.settings import DomainSettings, FollowSettings, RuleSettings
from tests.ldapmap.mirror.provider import SETTINGS


def test_the_same_settings_have_the_same_fingerprint() -> None:
    assert fingerprint(SETTINGS) == fingerprint(replace(SETTINGS)) != b""


@pytest.mark.parametrize(
    "change",
    [
        {"base": "dc=elsewhere"},
        {"scope": "one"},
        {"filter": "(uid=*)"},
        {"bind_dn": "cn=other"},
        {"attributes": replace(SETTINGS.attributes, shard="other")},
        {"rule": (RuleSettings(attribute="status", values=("off",)),)},
        {"domain": (DomainSettings(names=("x",), base="dc=y"),)},
        {"follow": FollowSettings(method="usn")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_shapes_the_records_changes_it(change: dict[str, Any]) -> None:
    assert fingerprint(replace(SETTINGS, **change)) != fingerprint(SETTINGS)


def test_which_servers_are_asked_does_not_change_it() -> None:
    assert fingerprint(replace(SETTINGS, servers=("ldap://127.0.0.2",))) == fingerprint(SETTINGS)

"""A finding is a value that a listing in JSON can show."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ldapmap import Finding


def test_a_finding_is_frozen_and_becomes_json() -> None:
    finding = Finding("warning", "ldap://ldap1.example", "answers slowly")
    assert json.loads(json.dumps(dataclasses.asdict(finding))) == {
        "level": "warning",
        "subject": "ldap://ldap1.example",
        "text": "answers slowly",
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding.level = "ok"  # type: ignore[misc]

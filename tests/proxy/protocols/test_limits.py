"""The limits before login."""

from __future__ import annotations

from dataclasses import fields

import pytest

from proxy.protocols.limits import Limits


@pytest.mark.parametrize("limit", fields(Limits), ids=lambda limit: limit.name)
def test_every_limit_explains_itself_and_has_a_least_value_below_its_default(limit: object) -> None:
    metadata = limit.metadata  # type: ignore[attr-defined]
    assert metadata["doc"].endswith(".")
    assert 1 <= metadata["min"] <= getattr(Limits(), limit.name)  # type: ignore[attr-defined]


def test_the_defaults_are_those_of_the_reference() -> None:
    limits = Limits()
    assert (limits.line, limits.tag, limits.bad_commands) == (8192, 126, 3)
    assert (limits.id_pairs, limits.id_key, limits.id_value) == (30, 30, 1024)
    assert limits.proxy_ttl == 7
    assert limits.sasl >= 8192

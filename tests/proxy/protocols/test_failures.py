"""Kinds of failures."""

from __future__ import annotations

import pytest

from proxy.protocols.failures import RETRYABLE, UNHEALTHY, Failure, Kind


def test_a_failure_says_why_without_being_asked_for_more() -> None:
    failure = Failure(Kind.BACKEND_CODE, "backend answered NO [INUSE]", code="INUSE", text="")
    assert str(failure) == "('backend_code', 'backend answered NO [INUSE]')"
    assert (failure.kind, failure.detail, failure.code, failure.text) == (
        Kind.BACKEND_CODE,
        "backend answered NO [INUSE]",
        "INUSE",
        "",
    )


def test_the_names_of_the_kinds_are_fit_for_logs_and_metrics() -> None:
    assert all(kind.value.replace("_", "").isalnum() and kind.value.islower() for kind in Kind)


@pytest.mark.parametrize("kind", [Kind.BAD_CREDENTIALS, Kind.BACKEND_REFUSED, Kind.BACKEND_CONFIG, Kind.LIMIT])
def test_what_another_backend_would_answer_alike_is_not_tried_again(kind: Kind) -> None:
    assert kind not in RETRYABLE
    assert kind not in UNHEALTHY


def test_a_sick_backend_is_always_worth_another_try() -> None:
    assert UNHEALTHY < RETRYABLE
    assert {*UNHEALTHY, Kind.BACKEND_TEMPORARY} == RETRYABLE

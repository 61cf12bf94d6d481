"""What a ManageSieve client is told."""

from __future__ import annotations

import pytest

from proxy.protocols.failures import Failure, Kind
from proxy.protocols.managesieve import responses
from proxy.protocols.preauth import CLOSING
from proxy.protocols.texts import TEXTS

#: Every failure a client can be told about, and the beginning of the reply.
ROWS = {
    Kind.BAD_CREDENTIALS: "NO ",
    Kind.NOT_AUTHORIZED: "NO ",
    Kind.EXPIRED: "NO ",
    Kind.DISABLED: "NO ",
    Kind.ANONYMOUS: "NO ",
    Kind.ALERT: "NO ",
    Kind.PRIVACY_REQUIRED: "NO (ENCRYPT-NEEDED) ",
    Kind.UNSUPPORTED_MECHANISM: "NO ",
    Kind.CANCELLED: "NO ",
    Kind.INVALID_BASE64: "NO ",
    Kind.LIMIT: "NO (TRYLATER) ",
    Kind.DIRECTORY_UNAVAILABLE: "NO (TRYLATER) ",
    Kind.DIRECTORY_MISCONFIGURED: "NO (TRYLATER) ",
    Kind.NO_BACKEND: "NO (TRYLATER) ",
    Kind.BACKEND_CONNECT: "NO (TRYLATER) ",
    Kind.BACKEND_REMOTE: "NO (TRYLATER) ",
    Kind.BACKEND_PROTOCOL: "NO (TRYLATER) ",
    Kind.BACKEND_TEMPORARY: "NO (TRYLATER) ",
    Kind.BACKEND_CONFIG: "NO (TRYLATER/NORETRY) ",
    Kind.OWN_CONFIG: "NO (TRYLATER/NORETRY) ",
    Kind.BACKEND_REFUSED: "NO ",
    Kind.BACKEND_CODE: "NO ",
}
FAREWELLS = {
    Kind.BAD_COMMANDS: "BYE ",
    Kind.BAD_INPUT: "BYE ",
    Kind.LOGIN_TIMEOUT: "BYE ",
    Kind.SHUTDOWN: "BYE (TRYLATER) ",
    Kind.MOVED: "BYE (TRYLATER) ",
    Kind.INTERNAL: "BYE (TRYLATER) ",
}


@pytest.mark.parametrize("kind", ROWS)
def test_each_failure_has_its_reply(kind: Kind) -> None:
    assert responses.refusal(Failure(kind)) == f'{ROWS[kind]}"{TEXTS[kind]}"\r\n'.encode()


@pytest.mark.parametrize("kind", FAREWELLS)
def test_each_end_has_its_farewell(kind: Kind) -> None:
    assert responses.farewell(kind) == f'{FAREWELLS[kind]}"{TEXTS[kind]}"\r\n'.encode()


def test_no_failure_is_without_a_reply() -> None:
    assert set(responses.REFUSALS) == set(ROWS) == set(Kind) - CLOSING - {Kind.DISCONNECTED}
    assert set(responses.FAREWELLS) == set(FAREWELLS) == CLOSING


def test_a_backends_code_is_not_passed_on() -> None:
    failure = Failure(Kind.BACKEND_CODE, "backend answered NO [X]", code="X")
    assert responses.refusal(failure) == b'NO "The mail server refused the login."\r\n'

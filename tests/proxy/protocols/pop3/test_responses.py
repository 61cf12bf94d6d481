"""What a POP3 client is told."""

from __future__ import annotations

import pytest

from proxy.protocols.failures import Failure, Kind
from proxy.protocols.pop3 import responses
from proxy.protocols.preauth import CLOSING
from proxy.protocols.texts import TEXTS

#: Every failure a client can be told about, and the beginning of the reply.
ROWS = {
    Kind.BAD_CREDENTIALS: "-ERR [AUTH] ",
    Kind.NOT_AUTHORIZED: "-ERR [AUTH] ",
    Kind.EXPIRED: "-ERR [AUTH] ",
    Kind.DISABLED: "-ERR [SYS/PERM] ",
    Kind.ANONYMOUS: "-ERR [SYS/PERM] ",
    Kind.ALERT: "-ERR [AUTH] ",
    Kind.PRIVACY_REQUIRED: "-ERR ",
    Kind.UNSUPPORTED_MECHANISM: "-ERR ",
    Kind.CANCELLED: "-ERR ",
    Kind.INVALID_BASE64: "-ERR ",
    Kind.LIMIT: "-ERR [IN-USE] ",
    Kind.DIRECTORY_UNAVAILABLE: "-ERR [SYS/TEMP] ",
    Kind.DIRECTORY_MISCONFIGURED: "-ERR [SYS/TEMP] ",
    Kind.NO_BACKEND: "-ERR [SYS/TEMP] ",
    Kind.BACKEND_CONNECT: "-ERR [SYS/TEMP] ",
    Kind.BACKEND_REMOTE: "-ERR [SYS/TEMP] ",
    Kind.BACKEND_PROTOCOL: "-ERR [SYS/TEMP] ",
    Kind.BACKEND_TEMPORARY: "-ERR [SYS/TEMP] ",
    Kind.BACKEND_CONFIG: "-ERR [SYS/PERM] ",
    Kind.OWN_CONFIG: "-ERR [SYS/PERM] ",
    Kind.BACKEND_REFUSED: "-ERR [SYS/PERM] ",
    Kind.BACKEND_CODE: "-ERR ",
}
FAREWELLS = {
    Kind.BAD_COMMANDS: "-ERR ",
    Kind.BAD_INPUT: "-ERR ",
    Kind.LOGIN_TIMEOUT: "-ERR ",
    Kind.SHUTDOWN: "-ERR [SYS/TEMP] ",
    Kind.MOVED: "-ERR [SYS/TEMP] ",
    Kind.INTERNAL: "-ERR [SYS/TEMP] ",
}


@pytest.mark.parametrize("kind", ROWS)
def test_each_failure_has_its_reply(kind: Kind) -> None:
    assert responses.refusal(Failure(kind)) == f"{ROWS[kind]}{TEXTS[kind]}\r\n".encode()


@pytest.mark.parametrize("kind", FAREWELLS)
def test_each_end_has_its_farewell(kind: Kind) -> None:
    assert responses.farewell(kind) == f"{FAREWELLS[kind]}{TEXTS[kind]}\r\n".encode()


def test_no_failure_is_without_a_reply() -> None:
    assert set(responses.REFUSALS) == set(ROWS) == set(Kind) - CLOSING - {Kind.DISCONNECTED}
    assert set(responses.FAREWELLS) == set(FAREWELLS) == CLOSING


def test_a_backends_code_is_passed_on_with_our_own_text() -> None:
    failure = Failure(Kind.BACKEND_CODE, "backend answered -ERR [LOGIN-DELAY]", code="LOGIN-DELAY")
    assert responses.refusal(failure) == b"-ERR [LOGIN-DELAY] The mail server refused the login.\r\n"

"""What an IMAP client is told."""

from __future__ import annotations

import pytest

from proxy.protocols.failures import Failure, Kind
from proxy.protocols.imap import responses
from proxy.protocols.preauth import CLOSING
from proxy.protocols.texts import TEXTS

#: Every failure a client can be told about, and the beginning of the reply.
ROWS = {
    Kind.BAD_CREDENTIALS: "NO [AUTHENTICATIONFAILED] ",
    Kind.NOT_AUTHORIZED: "NO [AUTHORIZATIONFAILED] ",
    Kind.EXPIRED: "NO [EXPIRED] ",
    Kind.DISABLED: "NO [CONTACTADMIN] ",
    Kind.ANONYMOUS: "NO [CONTACTADMIN] ",
    Kind.ALERT: "NO [ALERT] ",
    Kind.PRIVACY_REQUIRED: "NO [PRIVACYREQUIRED] ",
    Kind.UNSUPPORTED_MECHANISM: "NO ",
    Kind.CANCELLED: "BAD ",
    Kind.INVALID_BASE64: "BAD ",
    Kind.LIMIT: "NO [LIMIT] ",
    Kind.DIRECTORY_UNAVAILABLE: "NO [UNAVAILABLE] ",
    Kind.DIRECTORY_MISCONFIGURED: "NO [UNAVAILABLE] ",
    Kind.NO_BACKEND: "NO [UNAVAILABLE] ",
    Kind.BACKEND_CONNECT: "NO [UNAVAILABLE] ",
    Kind.BACKEND_REMOTE: "NO [UNAVAILABLE] ",
    Kind.BACKEND_PROTOCOL: "NO [UNAVAILABLE] ",
    Kind.BACKEND_TEMPORARY: "NO [UNAVAILABLE] ",
    Kind.BACKEND_CONFIG: "NO [SERVERBUG] ",
    Kind.OWN_CONFIG: "NO [SERVERBUG] ",
    Kind.BACKEND_REFUSED: "NO [CONTACTADMIN] ",
    Kind.BACKEND_CODE: "NO ",
    Kind.INTERNAL: "NO [SERVERBUG] ",
}
FAREWELLS = {
    Kind.BAD_COMMANDS: "* BYE ",
    Kind.BAD_INPUT: "* BYE ",
    Kind.LOGIN_TIMEOUT: "* BYE ",
    Kind.SHUTDOWN: "* BYE [UNAVAILABLE] ",
    Kind.MOVED: "* BYE [UNAVAILABLE] ",
    Kind.INTERNAL: "* BYE [UNAVAILABLE] ",
}


@pytest.mark.parametrize("kind", ROWS)
def test_each_failure_has_its_reply(kind: Kind) -> None:
    assert responses.refusal("a1", Failure(kind)) == f"a1 {ROWS[kind]}{TEXTS[kind]}\r\n".encode()


@pytest.mark.parametrize("kind", FAREWELLS)
def test_each_end_has_its_farewell(kind: Kind) -> None:
    assert responses.farewell(kind) == f"{FAREWELLS[kind]}{TEXTS[kind]}\r\n".encode()


def test_no_failure_is_without_a_reply() -> None:
    assert set(responses.REFUSALS) == set(ROWS) == set(Kind) - CLOSING - {Kind.DISCONNECTED} | {Kind.INTERNAL}
    assert set(responses.FAREWELLS) == set(FAREWELLS) == CLOSING


def test_a_backends_code_is_passed_on_with_our_own_text() -> None:
    failure = Failure(Kind.BACKEND_CODE, "backend answered NO [INUSE]", code="INUSE")
    assert responses.refusal("a1", failure) == b"a1 NO [INUSE] The mail server refused the login.\r\n"


def test_an_error_of_ours_answers_the_command_and_ends_the_conversation() -> None:
    assert responses.bug("a1") == b"a1 NO [SERVERBUG] Internal error.\r\n* BYE Internal error.\r\n"

"""What a ManageSieve client is told: one row for every failure (RFC 5804 section 1.3), and the farewells."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.protocols.failures import Failure, Kind
from proxy.protocols.texts import TEXTS, text

#: Kind of failure to response code. RFC 5804 has none for limits of connections, so "try later" it is.
REFUSALS: Mapping[Kind, str] = {
    Kind.BAD_CREDENTIALS: "",
    Kind.NOT_AUTHORIZED: "",
    Kind.EXPIRED: "",
    Kind.DISABLED: "",
    Kind.ANONYMOUS: "",
    Kind.ALERT: "",
    Kind.PRIVACY_REQUIRED: "ENCRYPT-NEEDED",
    Kind.UNSUPPORTED_MECHANISM: "",
    Kind.CANCELLED: "",
    Kind.INVALID_BASE64: "",
    Kind.LIMIT: "TRYLATER",
    Kind.DIRECTORY_UNAVAILABLE: "TRYLATER",
    Kind.DIRECTORY_MISCONFIGURED: "TRYLATER",
    Kind.NO_BACKEND: "TRYLATER",
    Kind.BACKEND_CONNECT: "TRYLATER",
    Kind.BACKEND_REMOTE: "TRYLATER",
    Kind.BACKEND_PROTOCOL: "TRYLATER",
    Kind.BACKEND_TEMPORARY: "TRYLATER",
    Kind.BACKEND_CONFIG: "TRYLATER/NORETRY",
    Kind.OWN_CONFIG: "TRYLATER/NORETRY",
    Kind.BACKEND_REFUSED: "",
    Kind.BACKEND_CODE: "",
}

#: Response code of the BYE.
FAREWELLS: Mapping[Kind, str] = {
    Kind.BAD_COMMANDS: "",
    Kind.BAD_INPUT: "",
    Kind.LOGIN_TIMEOUT: "",
    Kind.SHUTDOWN: "TRYLATER",
    Kind.MOVED: "TRYLATER",
    Kind.INTERNAL: "TRYLATER",
}


def refusal(failure: Failure) -> bytes:
    """The reply to a failed login; a backend's own code is not passed on, as few exist and none helps a client."""
    return _line("NO", REFUSALS[failure.kind], text(failure))


def farewell(kind: Kind) -> bytes:
    """The BYE that ends a conversation before login."""
    return _line("BYE", FAREWELLS[kind], TEXTS[kind])


def _line(status: str, code: str, words: str) -> bytes:
    return f'{status} {f"({code}) " if code else ""}"{words}"\r\n'.encode()

"""What a POP3 client is told: one row for every failure (RFC 2449 section 8, RFC 3206), and the farewells."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.protocols.failures import Failure, Kind
from proxy.protocols.texts import TEXTS, text

#: Kind of failure to response code. AUTH makes a client ask for another password, so it stands only where one helps.
REFUSALS: Mapping[Kind, str] = {
    Kind.BAD_CREDENTIALS: "AUTH",
    Kind.NOT_AUTHORIZED: "AUTH",
    Kind.EXPIRED: "AUTH",
    Kind.DISABLED: "SYS/PERM",
    Kind.ANONYMOUS: "SYS/PERM",
    Kind.ALERT: "AUTH",
    Kind.PRIVACY_REQUIRED: "",
    Kind.UNSUPPORTED_MECHANISM: "",
    Kind.CANCELLED: "",
    Kind.INVALID_BASE64: "",
    Kind.LIMIT: "IN-USE",
    Kind.DIRECTORY_UNAVAILABLE: "SYS/TEMP",
    Kind.DIRECTORY_MISCONFIGURED: "SYS/TEMP",
    Kind.NO_BACKEND: "SYS/TEMP",
    Kind.BACKEND_CONNECT: "SYS/TEMP",
    Kind.BACKEND_REMOTE: "SYS/TEMP",
    Kind.BACKEND_PROTOCOL: "SYS/TEMP",
    Kind.BACKEND_TEMPORARY: "SYS/TEMP",
    Kind.BACKEND_CONFIG: "SYS/PERM",
    Kind.OWN_CONFIG: "SYS/PERM",
    Kind.BACKEND_REFUSED: "SYS/PERM",
    Kind.BACKEND_CODE: "",
}

#: Response code of the line that ends a conversation before login.
FAREWELLS: Mapping[Kind, str] = {
    Kind.BAD_COMMANDS: "",
    Kind.BAD_INPUT: "",
    Kind.LOGIN_TIMEOUT: "",
    Kind.SHUTDOWN: "SYS/TEMP",
    Kind.MOVED: "SYS/TEMP",
    Kind.INTERNAL: "SYS/TEMP",
}


def refusal(failure: Failure) -> bytes:
    """The reply to a failed login."""
    return _error(failure.code or REFUSALS[failure.kind], text(failure))


def farewell(kind: Kind) -> bytes:
    """The line that ends a conversation before login; POP3 has no other form than an error."""
    return _error(FAREWELLS[kind], TEXTS[kind])


def _error(code: str, words: str) -> bytes:
    return f"-ERR {f'[{code}] ' if code else ''}{words}\r\n".encode()

"""What an IMAP client is told: one row for every failure (RFC 5530 codes), and the farewells."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.protocols.failures import Failure, Kind
from proxy.protocols.texts import TEXTS, text

#: Kind of failure to the tagged reply's status and response code.
REFUSALS: Mapping[Kind, tuple[str, str]] = {
    Kind.BAD_CREDENTIALS: ("NO", "AUTHENTICATIONFAILED"),
    Kind.NOT_AUTHORIZED: ("NO", "AUTHORIZATIONFAILED"),
    Kind.EXPIRED: ("NO", "EXPIRED"),
    Kind.DISABLED: ("NO", "CONTACTADMIN"),
    Kind.ANONYMOUS: ("NO", "CONTACTADMIN"),
    Kind.ALERT: ("NO", "ALERT"),
    Kind.PRIVACY_REQUIRED: ("NO", "PRIVACYREQUIRED"),
    Kind.UNSUPPORTED_MECHANISM: ("NO", ""),
    Kind.CANCELLED: ("BAD", ""),
    Kind.INVALID_BASE64: ("BAD", ""),
    Kind.LIMIT: ("NO", "LIMIT"),
    Kind.DIRECTORY_UNAVAILABLE: ("NO", "UNAVAILABLE"),
    Kind.DIRECTORY_MISCONFIGURED: ("NO", "UNAVAILABLE"),
    Kind.NO_BACKEND: ("NO", "UNAVAILABLE"),
    Kind.BACKEND_CONNECT: ("NO", "UNAVAILABLE"),
    Kind.BACKEND_REMOTE: ("NO", "UNAVAILABLE"),
    Kind.BACKEND_PROTOCOL: ("NO", "UNAVAILABLE"),
    Kind.BACKEND_TEMPORARY: ("NO", "UNAVAILABLE"),
    Kind.BACKEND_CONFIG: ("NO", "SERVERBUG"),
    Kind.OWN_CONFIG: ("NO", "SERVERBUG"),
    Kind.BACKEND_REFUSED: ("NO", "CONTACTADMIN"),
    Kind.BACKEND_CODE: ("NO", ""),
    Kind.INTERNAL: ("NO", "SERVERBUG"),
}

#: Response code of the untagged BYE.
FAREWELLS: Mapping[Kind, str] = {
    Kind.BAD_COMMANDS: "",
    Kind.BAD_INPUT: "",
    Kind.LOGIN_TIMEOUT: "",
    Kind.SHUTDOWN: "UNAVAILABLE",
    Kind.MOVED: "UNAVAILABLE",
    Kind.INTERNAL: "UNAVAILABLE",
}

#: Said before the tagged refusal when a password has already been sent in clear.
EXPOSED = b"* BAD [ALERT] The password was sent without TLS: others may have read it.\r\n"


def refusal(tag: str, failure: Failure) -> bytes:
    """The tagged reply to a failed login."""
    status, code = REFUSALS[failure.kind]
    return f"{tag} {status} {_bracketed(failure.code or code)}{text(failure)}\r\n".encode()


def farewell(kind: Kind) -> bytes:
    """The untagged BYE that ends a conversation before login."""
    return f"* BYE {_bracketed(FAREWELLS[kind])}{TEXTS[kind]}\r\n".encode()


def bug(tag: str) -> bytes:
    """The tagged reply to a command that an error of ours has ended, and the end of the conversation."""
    return refusal(tag, Failure(Kind.INTERNAL)) + f"* BYE {TEXTS[Kind.INTERNAL]}\r\n".encode()


def _bracketed(code: str) -> str:
    return f"[{code}] " if code else ""

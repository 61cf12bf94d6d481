"""What each failure is called to a person; the words are the same in all protocols and never a server's own."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.protocols.failures import Failure, Kind

_LATER = "The mail server is temporarily unavailable. Try again later."
_OURS = "The mail service is misconfigured. Contact your administrator."

TEXTS: Mapping[Kind, str] = {
    Kind.BAD_CREDENTIALS: "Authentication failed.",
    Kind.NOT_AUTHORIZED: "Not authorized to act as this user.",
    Kind.EXPIRED: "The password has expired. Change it, then log in again.",
    Kind.DISABLED: "This account is disabled. Contact your administrator.",
    Kind.ANONYMOUS: "Anonymous logins are not allowed.",
    Kind.ALERT: "The login was refused.",
    Kind.PRIVACY_REQUIRED: "A password is not accepted without TLS.",
    Kind.UNSUPPORTED_MECHANISM: "Unsupported authentication mechanism.",
    Kind.CANCELLED: "Authentication cancelled.",
    Kind.INVALID_BASE64: "Invalid base64 data.",
    Kind.LIMIT: "Too many connections for this user or address.",
    Kind.BAD_COMMANDS: "Too many bad commands.",
    Kind.BAD_INPUT: "Input is too long.",
    Kind.LOGIN_TIMEOUT: "No login in time.",
    Kind.DIRECTORY_UNAVAILABLE: "Logins are temporarily unavailable. Try again later.",
    Kind.DIRECTORY_MISCONFIGURED: "Logins are temporarily unavailable. Try again later.",
    Kind.NO_BACKEND: _LATER,
    Kind.BACKEND_CONNECT: _LATER,
    Kind.BACKEND_REMOTE: _LATER,
    Kind.BACKEND_PROTOCOL: _LATER,
    Kind.BACKEND_TEMPORARY: _LATER,
    Kind.BACKEND_CONFIG: _OURS,
    Kind.OWN_CONFIG: _OURS,
    Kind.BACKEND_REFUSED: "The mail server does not accept this account. Contact your administrator.",
    Kind.BACKEND_CODE: "The mail server refused the login.",
    Kind.INTERNAL: "Internal error.",
    Kind.MOVED: "Your mail is being moved. Connect again.",
    Kind.SHUTDOWN: "The mail proxy is restarting. Try again.",
}


def text(failure: Failure) -> str:
    """The words for a person; an operator's own text (kind ALERT) is reduced to printable ASCII, 200 characters."""
    if failure.kind is Kind.ALERT:
        words = "".join(c for c in failure.text if " " <= c <= "~" and c not in '"\\')
        return words[:200].strip() or TEXTS[Kind.ALERT]
    return TEXTS[failure.kind]

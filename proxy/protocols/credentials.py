"""What a client presents, and the one place that says which user names and passwords may exist at all."""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.protocols.failures import Failure, Kind
from proxy.protocols.secret import Secret

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class Attempt(NamedTuple):
    """One login attempt as the client sent it, decoded from its protocol and mechanism but not yet judged.

    `authzid` is empty when the client does not ask to act as somebody else; `user` is empty for EXTERNAL.
    """

    mechanism: str
    user: bytes
    secret: Secret
    authzid: bytes = b""


class Credentials(NamedTuple):
    """A login attempt whose bytes are safe for LDAP, a backend's command line, a cache key and the log."""

    mechanism: str
    user: str
    secret: Secret
    authzid: str = ""

    @property
    def is_token(self) -> bool:
        """Whether the secret is an OAuth token, which the backend verifies, rather than a password."""
        return self.mechanism in ("XOAUTH2", "OAUTHBEARER")


def judge(attempt: Attempt) -> Credentials:
    """The attempt as credentials.

    Raises `Failure(BAD_CREDENTIALS)` for a name that is not UTF-8, a control character anywhere (POP3 carries both
    values unencoded, so CR, LF or NUL would become another command at the backend), and a password that is empty or
    blank (RFC 4513 section 5.1.2: an empty one would bind as anonymous, and succeed).
    """
    secret = attempt.secret.reveal()
    if _CONTROL.search(secret) or _CONTROL.search(attempt.user) or _CONTROL.search(attempt.authzid):
        raise Failure(Kind.BAD_CREDENTIALS, "control character in the credentials")
    if attempt.mechanism != "EXTERNAL":
        if not attempt.user:
            raise Failure(Kind.BAD_CREDENTIALS, "empty user name")
        if not secret.strip():
            raise Failure(Kind.BAD_CREDENTIALS, "empty password")
    return Credentials(attempt.mechanism, _name(attempt.user), attempt.secret, _name(attempt.authzid))


def _name(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Failure(Kind.BAD_CREDENTIALS, "user name is not UTF-8") from None

"""Why a login fails: whose fault it is, whether another try helps, and nothing about how a protocol says so."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """Every way a login can fail; the value is its name in the log and in metrics.

    Each protocol's `responses` module has one row for every kind that a client is told about.
    """

    # The client, or who pretends to be it.
    BAD_CREDENTIALS = "bad_credentials"
    NOT_AUTHORIZED = "not_authorized"
    EXPIRED = "password_expired"
    DISABLED = "disabled"
    ANONYMOUS = "anonymous"
    ALERT = "refused_with_text"
    PRIVACY_REQUIRED = "privacy_required"
    UNSUPPORTED_MECHANISM = "unsupported_mechanism"
    CANCELLED = "cancelled"
    INVALID_BASE64 = "invalid_base64"
    LIMIT = "limit"
    BAD_COMMANDS = "bad_commands"
    BAD_INPUT = "bad_input"
    LOGIN_TIMEOUT = "login_timeout"
    DISCONNECTED = "disconnected"
    # The directory.
    DIRECTORY_UNAVAILABLE = "directory_unavailable"
    DIRECTORY_MISCONFIGURED = "directory_misconfigured"
    # The director.
    NO_BACKEND = "no_backend"
    MOVED = "moved"
    # The backend (Dovecot's proxy failure types CONNECT, REMOTE, PROTOCOL, AUTH_TEMPFAIL, REMOTE_CONFIG, AUTH_REPLIED).
    BACKEND_CONNECT = "backend_connect"
    BACKEND_REMOTE = "backend_remote"
    BACKEND_PROTOCOL = "backend_protocol"
    BACKEND_TEMPORARY = "backend_temporary"
    BACKEND_CONFIG = "backend_config"
    BACKEND_REFUSED = "backend_refused"
    BACKEND_CODE = "backend_code"
    # Us.
    OWN_CONFIG = "own_config"
    INTERNAL = "internal"
    SHUTDOWN = "shutdown"


#: Another try, perhaps at another replica, may help.
RETRYABLE = frozenset({Kind.BACKEND_CONNECT, Kind.BACKEND_REMOTE, Kind.BACKEND_PROTOCOL, Kind.BACKEND_TEMPORARY})

#: What tells the director that a backend is not well (a refused user says nothing about its health).
UNHEALTHY = frozenset({Kind.BACKEND_CONNECT, Kind.BACKEND_REMOTE, Kind.BACKEND_PROTOCOL})


class Failure(Exception):
    """A login that failed.

    `detail` is for the log only and never holds a secret; `code` is a backend's response code from a fixed list;
    `text` is an operator's own words for the user (kind ALERT). `user` is whose login it was, for the log, as soon as
    the directory knows such a user: a name that nobody has may be a password typed into the wrong field.
    """

    def __init__(self, kind: Kind, detail: str = "", *, code: str = "", text: str = "") -> None:
        super().__init__(kind.value, detail)
        self.kind = kind
        self.detail = detail
        self.code = code
        self.text = text
        self.user = ""

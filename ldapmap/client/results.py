"""What a server's result means for a login (RFC 4511 appendix A, password policy, Active Directory's sub-codes)."""

from __future__ import annotations

import re

from ldapmap.client.messages import Result
from ldapmap.errors import (
    AccountDisabled,
    AccountLocked,
    AmbiguousUser,
    DirectoryError,
    Misconfigured,
    PasswordExpired,
    ServerFault,
    Unavailable,
    UnknownUser,
    WrongPassword,
)

SUCCESS, SIZE_LIMIT_EXCEEDED, INVALID_CREDENTIALS = 0, 4, 49

_NAMES = {
    1: "operationsError",
    2: "protocolError",
    3: "timeLimitExceeded",
    4: "sizeLimitExceeded",
    7: "authMethodNotSupported",
    8: "strongerAuthRequired",
    10: "referral",
    11: "adminLimitExceeded",
    12: "unavailableCriticalExtension",
    13: "confidentialityRequired",
    32: "noSuchObject",
    34: "invalidDNSyntax",
    48: "inappropriateAuthentication",
    49: "invalidCredentials",
    50: "insufficientAccessRights",
    51: "busy",
    52: "unavailable",
    53: "unwillingToPerform",
    80: "other",
}

_BOTH: dict[int, type[DirectoryError]] = {
    8: Misconfigured,
    13: Misconfigured,
    53: Misconfigured,
    51: ServerFault,
    52: ServerFault,
}
_OF_A_BIND: dict[int, type[DirectoryError]] = {**_BOTH, 32: UnknownUser, 34: UnknownUser, 49: WrongPassword}
# A search meets 32 and 34 when `base` is wrong, or in a replica that is still empty: no fault of the user's.
_OF_A_SEARCH: dict[int, type[DirectoryError]] = {
    **_BOTH,
    4: AmbiguousUser,
    32: Misconfigured,
    34: Misconfigured,
    50: Misconfigured,
}

_POLICY_ERRORS: dict[int | None, tuple[type[DirectoryError], str]] = {
    0: (PasswordExpired, "password policy: passwordExpired"),
    1: (AccountLocked, "password policy: accountLocked"),
    2: (PasswordExpired, "password policy: changeAfterReset"),
}
_ACTIVE_DIRECTORY = re.compile(r"\bdata ([0-9a-f]+)", re.IGNORECASE)
_SUB_CODES: dict[str, tuple[type[DirectoryError], str]] = {
    "525": (WrongPassword, "Active Directory: no such user"),
    "52e": (WrongPassword, "Active Directory: wrong password"),
    "530": (AccountDisabled, "Active Directory: not allowed at this time"),
    "531": (AccountDisabled, "Active Directory: not allowed from here"),
    "532": (PasswordExpired, "Active Directory: password expired"),
    "533": (AccountDisabled, "Active Directory: account disabled"),
    "701": (AccountDisabled, "Active Directory: account expired"),
    "773": (PasswordExpired, "Active Directory: password must be changed"),
    "775": (AccountLocked, "Active Directory: account locked"),
}


def bind_verdict(result: Result) -> DirectoryError | None:
    """What the result of a user's bind means; None: the password is right.

    A password-policy error refuses the login even with result 0: that is how `changeAfterReset` arrives.
    """
    if result.code in (SUCCESS, INVALID_CREDENTIALS):
        policy = _POLICY_ERRORS.get(result.policy_error)
        if policy is not None:
            return policy[0](policy[1])
        if result.code == SUCCESS:
            return None
        sub_code = _ACTIVE_DIRECTORY.search(result.diagnostic)
        known = _SUB_CODES.get(sub_code[1].lower()) if sub_code else None
        if known is not None:
            return known[0](known[1])
    return _OF_A_BIND.get(result.code, Unavailable)(f"bind: {described(result)}")


def search_verdict(result: Result) -> DirectoryError | None:
    """What the result of a search means; None: the entries sent before it are all there are."""
    if result.code == SUCCESS:
        return None
    return _OF_A_SEARCH.get(result.code, Unavailable)(f"search: {described(result)}")


def described(result: Result) -> str:
    """The result in words, for the log."""
    name = f"{_NAMES.get(result.code, 'result')} ({result.code})"
    return f"{name}: {result.diagnostic[:200]}" if result.diagnostic else name

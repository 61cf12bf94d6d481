"""Who the user is and where the user's mail lives, according to LDAP servers or an LDIF file."""

from ldapmap.check import check_directory
from ldapmap.directory import Directory
from ldapmap.entries import Entry
from ldapmap.errors import (
    AccountDisabled,
    AccountLocked,
    AmbiguousUser,
    DirectoryError,
    EmptyPassword,
    InvalidName,
    Misconfigured,
    NoRoute,
    PasswordExpired,
    ServerFault,
    Unavailable,
    UnknownUser,
    WrongPassword,
)
from ldapmap.findings import Finding
from ldapmap.kinds import open_directory
from ldapmap.ldif import LdifFault
from ldapmap.names import canonical, steps
from ldapmap.settings import Attributes, DirectorySettings, NameRules

__all__ = [
    "AccountDisabled",
    "AccountLocked",
    "AmbiguousUser",
    "Attributes",
    "Directory",
    "DirectoryError",
    "DirectorySettings",
    "EmptyPassword",
    "Entry",
    "Finding",
    "InvalidName",
    "LdifFault",
    "Misconfigured",
    "NameRules",
    "NoRoute",
    "PasswordExpired",
    "ServerFault",
    "Unavailable",
    "UnknownUser",
    "WrongPassword",
    "canonical",
    "check_directory",
    "open_directory",
    "steps",
]

"""Who the user is and where the user's mail lives, according to LDAP servers or an LDIF file."""

from ldapmap.check import check_directory
from ldapmap.client.address import parse_address
from ldapmap.directory import Directory
from ldapmap.domains import Domains
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
from ldapmap.memory.keeper import MemoryKeeper
from ldapmap.memory.line import MemoryLine
from ldapmap.memory.memory import Memory
from ldapmap.meters import (
    NO_METERS,
    OPERATIONS,
    OUTCOMES,
    REMEMBERED,
    SOURCES,
    Meters,
    Operation,
    Outcome,
    Remembered,
    Source,
)
from ldapmap.mirror.control import ask as ask_mirror
from ldapmap.mirror.control import changes as mirror_changes
from ldapmap.mirror.fingerprint import fingerprint as mirror_fingerprint
from ldapmap.mirror.mirror import Mirror
from ldapmap.mirror.routes import Routes
from ldapmap.mirror.status import MirrorStatus
from ldapmap.names import canonical, steps
from ldapmap.policy import Policy
from ldapmap.settings import Attributes, DirectorySettings, DomainSettings, NameRules, RuleSettings
from ldapmap.status import DirectoryStatus, ServerStatus

__all__ = [
    "NO_METERS",
    "OPERATIONS",
    "OUTCOMES",
    "REMEMBERED",
    "SOURCES",
    "AccountDisabled",
    "AccountLocked",
    "AmbiguousUser",
    "Attributes",
    "Directory",
    "DirectoryError",
    "DirectorySettings",
    "DirectoryStatus",
    "DomainSettings",
    "Domains",
    "EmptyPassword",
    "Entry",
    "Finding",
    "InvalidName",
    "LdifFault",
    "Memory",
    "MemoryKeeper",
    "MemoryLine",
    "Meters",
    "Mirror",
    "MirrorStatus",
    "Misconfigured",
    "NameRules",
    "NoRoute",
    "Operation",
    "Outcome",
    "PasswordExpired",
    "Policy",
    "Remembered",
    "Routes",
    "RuleSettings",
    "ServerFault",
    "ServerStatus",
    "Source",
    "Unavailable",
    "UnknownUser",
    "WrongPassword",
    "ask_mirror",
    "canonical",
    "check_directory",
    "mirror_changes",
    "mirror_fingerprint",
    "open_directory",
    "parse_address",
    "steps",
]

"""A look at the directory before it is used in earnest: is it reached, and does it say what the settings expect?

Blocking: nobody waits for it but an operator. It changes nothing in the directory.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Literal

from ldapmap.address import parse_address
from ldapmap.embedded import LdifDirectory, stored_passwords
from ldapmap.entries import EntryReader
from ldapmap.errors import DirectoryError
from ldapmap.findings import Finding
from ldapmap.ldap import read_identity
from ldapmap.ldif import LdifFault, Record
from ldapmap.settings import DirectorySettings


def check_directory(settings: DirectorySettings, context: ssl.SSLContext | None) -> list[Finding]:
    """Everything found, server by server. Takes at most about `connect_timeout` plus a few `operation_timeout` each."""
    if settings.kind == "ldif":
        return list(_check_ldif(settings))
    try:
        identity = read_identity(settings)
    except (OSError, ValueError) as error:
        return [Finding("error", "bind_password_file", str(error))]
    from ldapmap.check_server import ServerCheck  # here, because ldap3 costs every worker memory and time to import

    findings = list(_check_settings(settings))
    for url in settings.servers:
        findings += ServerCheck(url, settings, context, identity).findings()
    return findings


# --- a file ---


def _check_ldif(settings: DirectorySettings) -> Iterator[Finding]:
    subject = str(settings.file)
    try:
        directory = LdifDirectory(settings)
    except (OSError, ValueError, LdifFault) as error:
        yield Finding("error", subject, str(error))
        return
    level: Literal["ok", "warning"] = "ok" if directory.records else "warning"
    yield Finding(level, subject, f"{len(directory.records)} users")
    for record in directory.records:
        for problem in _record_problems(settings, record):
            yield Finding("warning", subject, f"line {record.line}: {problem}")


def _record_problems(settings: DirectorySettings, record: Record) -> Iterator[str]:
    stored, unusable = stored_passwords(record)
    yield from unusable
    if not stored and not unusable:
        yield f"{record.dn!r} has no userPassword"
    try:
        EntryReader(settings.attributes, lower_case=settings.names.lower_case).read(record.dn, record.attributes)
    except DirectoryError as error:
        yield error.reason


# --- servers ---


def _check_settings(settings: DirectorySettings) -> Iterator[Finding]:
    if not settings.tls_verify:
        yield Finding("warning", "tls_verify", "certificates are not verified: anybody on the way can read passwords")
    for url in settings.servers:
        if not settings.starttls and parse_address(url).is_in_clear:
            yield Finding("warning", url, "passwords cross the network in clear: use ldaps:// or starttls = true")
    if not settings.bind_dn:
        yield Finding("warning", "bind_dn", "is empty: searches are anonymous, which many servers refuse")

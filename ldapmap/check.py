"""A look at the directory before it is used in earnest: is it reached, and does it say what the settings expect?

Blocking: nobody waits for it but an operator. It changes nothing in the directory.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Literal

from ldapmap.client.address import parse_address
from ldapmap.domains import Domains
from ldapmap.embedded import LdifDirectory, is_below, stored_passwords
from ldapmap.entries import EntryReader
from ldapmap.errors import DirectoryError
from ldapmap.findings import Finding
from ldapmap.ldif import LdifFault, Record
from ldapmap.settings import DirectorySettings
from ldapmap.targets import read_identity


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
    for url, followed in _servers(settings):
        findings += ServerCheck(url, settings, context, identity, followed=followed).findings()
    return findings


def _servers(settings: DirectorySettings) -> list[tuple[str, bool]]:
    """The servers, and whether a mirror would follow them."""
    asked = [server.url for server in settings.ordered_servers]
    followed = (settings.follow.servers or asked) if settings.mirror else ()
    return [(url, url in followed) for url in (*asked, *(url for url in followed if url not in asked))]


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
    reader = EntryReader(settings)
    for record in directory.records:
        for problem in _record_problems(settings, reader, record):
            yield Finding("warning", subject, f"line {record.line}: {problem}")


def _record_problems(settings: DirectorySettings, reader: EntryReader, record: Record) -> Iterator[str]:
    stored, unusable = stored_passwords(record)
    yield from unusable
    judged_here = any(not place.passthrough for place in Domains(settings).places)
    if not stored and not unusable and judged_here:
        yield f"{record.dn!r} has no userPassword"
    try:
        reader.read(record.dn, record.attributes)
    except DirectoryError as error:
        yield error.reason


# --- servers ---


def _check_settings(settings: DirectorySettings) -> Iterator[Finding]:
    if not settings.tls_verify:
        yield Finding("warning", "tls_verify", "certificates are not verified: anybody on the way can read passwords")
    for url, _ in _servers(settings):
        if not settings.starttls and parse_address(url).is_in_clear:
            yield Finding("warning", url, "passwords cross the network in clear: use ldaps:// or starttls = true")
    if not settings.bind_dn:
        yield Finding("warning", "bind_dn", "is empty: searches are anonymous, which many servers refuse")
    yield from _check_nested_bases(settings)


def _check_nested_bases(settings: DirectorySettings) -> Iterator[Finding]:
    """A user with two names could be on two backends at once."""
    places = Domains(settings).places if settings.scope == "subtree" else ()
    for place in {place.base: place for place in places if place.suffix}.values():
        for base in {other.base for other in places} - {place.base}:
            if is_below(place.base, base) or is_below(base, place.base):
                text = f"users below it are found with and without {place.suffix} when {base!r} is searched"
                yield Finding("warning", place.base, text)

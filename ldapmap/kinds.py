"""The kinds of directory there are."""

from __future__ import annotations

import ssl

from ldapmap.directory import Directory
from ldapmap.embedded import LdifDirectory
from ldapmap.ldap import LdapDirectory
from ldapmap.settings import DirectorySettings


def open_directory(settings: DirectorySettings, context: ssl.SSLContext | None) -> Directory:
    """The directory that the settings describe, not yet started. Files (password, LDIF) are read here.

    `context` is for ldaps:// and StartTLS; it decides what is verified. Raises OSError, ValueError or LdifFault.
    """
    if settings.kind == "ldif":
        return LdifDirectory(settings)
    return LdapDirectory(settings, context)

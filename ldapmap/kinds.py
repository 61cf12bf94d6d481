"""The kinds of directory there are, and the layers that the settings put on one."""

from __future__ import annotations

import ssl
from pathlib import Path

from ldapmap.cached import CachedDirectory
from ldapmap.directory import Directory
from ldapmap.domains import Domains
from ldapmap.embedded import LdifDirectory
from ldapmap.ldap import LdapDirectory
from ldapmap.memory.line import MemoryLine
from ldapmap.meters import NO_METERS, Meters
from ldapmap.mirror.fingerprint import fingerprint
from ldapmap.mirror.routes import Routes
from ldapmap.mirrored import MirroredDirectory
from ldapmap.remembering import RememberingDirectory
from ldapmap.settings import DirectorySettings


def open_directory(
    settings: DirectorySettings,
    context: ssl.SSLContext | None,
    *,
    meters: Meters = NO_METERS,
    mirror: Path | None = None,
    memory: MemoryLine | None = None,
) -> Directory:
    """The directory that the settings describe, not yet started. Files (password, LDIF) are read here.

    `context` is for ldaps:// and StartTLS; it decides what is verified. `mirror` is the directory of the mirror's
    files, `memory` the line to the remembered passwords; without them there are none. Raises OSError, ValueError or
    LdifFault.
    """
    if settings.kind == "ldif":
        return LdifDirectory(settings)
    servers = LdapDirectory(settings, context, meters)
    directory: Directory
    if mirror is not None:
        routes = Routes(mirror, fingerprint=fingerprint(settings), trust=settings.follow.trust)
        directory = MirroredDirectory(servers, routes, settings, Domains(settings), meters)
    else:
        directory = CachedDirectory(servers, settings, meters)
    return directory if memory is None else RememberingDirectory(directory, memory, meters)

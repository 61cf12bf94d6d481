"""TLS contexts of the connections that we open: to the directory's servers and to backends."""

from __future__ import annotations

import ssl

import tls
from ldapmap import DirectorySettings
from proxy.sections import BackendLoginSettings


def directory_context(settings: DirectorySettings) -> ssl.SSLContext | None:
    """The TLS context for the directory's servers, or None for a directory that is a file; raises CertificateFault."""
    return None if settings.kind == "ldif" else tls.backend_context(settings.ca_file, settings.tls_verify)


def login_context(settings: BackendLoginSettings) -> ssl.SSLContext:
    """The TLS context for backends; raises CertificateFault."""
    return tls.backend_context(settings.ca_file, settings.verify)

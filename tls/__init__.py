"""Certificates and TLS contexts: choice by SNI, reload in place, verification of backends, a look at the
ClientHello."""

from tls.certificates import CertificateFault, CertificatePair, read_pair, warnings
from tls.clienthello import NotTls, client_hello_length, offered_alpn
from tls.contexts import ServerContexts, backend_context
from tls.settings import CertificateFiles
from tls.throwaway import ThrowawayAuthority

__all__ = [
    "CertificateFault",
    "CertificateFiles",
    "CertificatePair",
    "NotTls",
    "ServerContexts",
    "ThrowawayAuthority",
    "backend_context",
    "client_hello_length",
    "offered_alpn",
    "read_pair",
    "warnings",
]

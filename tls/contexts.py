"""TLS contexts: what clients meet at a listener, and what backends and directories have to prove to us.

A listener has one `ServerContexts` for its life. OpenSSL encrypts session tickets with keys it made for the context
that accepted the connection, whatever certificate was chosen afterwards; keeping that context over a reload keeps
resumption working, creating it before the fork lets workers resume each other's sessions, and giving each client
policy its own keeps a session begun without a client certificate from being resumed where one may be asked for
(CVE-2014-3616, CVE-2025-23419).
"""

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tls.certificates import CertificateFault, CertificatePair, read_file
from tls.loading import load_pair

_TLS12_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and authenticated encryption only (RFC 9325 section 4.2); TLS 1.3 has its own list."""

_TICKETS: Final = 1
"""Per full handshake. The second, as OpenSSL gives, costs the server 15 to 30 µs; one replaces a lost connection."""


class ServerContexts:
    """The certificates of one listener, chosen by SNI, for TLS 1.2 and later.

    `pairs`: the first is served when the client names no server or one we do not know (RFC 6066 section 3: no alert);
    an exact name goes before a wildcard, an earlier pair before a later one. `alpn` is the one protocol to agree on
    (RFC 7301). With `client_ca`, a PEM file, clients are asked for a certificate: they may have none, but one that is
    not from that CA ends the handshake. Raises ValueError without pairs, CertificateFault for `client_ca`, and what
    `tls.loading.load_pair` raises.
    """

    def __init__(self, pairs: Sequence[CertificatePair], *, alpn: str, client_ca: Path | None = None) -> None:
        self._alpn = alpn
        self._client_ca = _read_authorities(client_ca) if client_ca else ""
        self._key_family = _first(pairs).key_family
        self.context: Final = self._create(pairs[0])
        self._serve([self.context, *map(self._create, pairs[1:])], pairs)

    def replace(self, pairs: Sequence[CertificatePair]) -> None:
        """Serve these pairs to handshakes from now on; `context`, tickets and running sessions live on.

        Their number, names and order may differ from before; client CAs stay as they were. If it raises, as at the
        beginning, the old pairs remain.
        """
        others = [self._create(pair) for pair in pairs[1:]]
        self._serve([self._reuse(_first(pairs)), *others], pairs)

    def _reuse(self, pair: CertificatePair) -> ssl.SSLContext:
        """Load the pair into `context`; into a new one if the key is of another kind, or OpenSSL would serve both."""
        if pair.key_family != self._key_family:
            return self._create(pair)
        load_pair(self.context, pair.chain, pair.key)
        return self.context

    def _create(self, pair: CertificatePair) -> ssl.SSLContext:
        context = _hardened(ssl.PROTOCOL_TLS_SERVER)
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # all are good: the client knows if it has AES in hardware
        context.set_ciphers(_TLS12_CIPHERS)
        context.set_alpn_protocols([self._alpn])
        context.num_tickets = _TICKETS
        if self._client_ca:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(cadata=self._client_ca)
        load_pair(context, pair.chain, pair.key)
        return context

    def _serve(self, contexts: Sequence[ssl.SSLContext], pairs: Sequence[CertificatePair]) -> None:
        """Choose by name from now on; without a choice there is no callback, which each handshake would pay for."""
        if len(contexts) == 1 and contexts[0] is self.context:
            self.context.sni_callback = None
        else:
            self.context.sni_callback = _Choice(contexts, pairs)


class _Choice:
    """The SNI callback: gives the connection the context for the name it asks for, and remembers nothing."""

    __slots__ = ("_by_name", "_default")

    def __init__(self, contexts: Sequence[ssl.SSLContext], pairs: Sequence[CertificatePair]) -> None:
        self._default: Final = contexts[0]
        self._by_name: Final[Mapping[str, ssl.SSLContext]] = {
            name: context for context, pair in reversed(list(zip(contexts, pairs, strict=True))) for name in pair.names
        }

    def __call__(self, connection: ssl.SSLObject, server_name: str | None, _initial: ssl.SSLContext) -> None:
        connection.context = self._find(server_name.lower()) if server_name else self._default

    def _find(self, name: str) -> ssl.SSLContext:
        """An exact name, else a wildcard for the first label (RFC 6125 section 6.4.3), else the default."""
        wildcard = "*." + name.partition(".")[2]
        return self._by_name.get(name) or self._by_name.get(wildcard, self._default)


def backend_context(ca_file: Path | None, verify: bool) -> ssl.SSLContext:
    """Return the context to connect with, to mail backends and directories: TLS 1.2 or later.

    With `verify`, the peer needs an unexpired chain to a CA in `ca_file` (PEM; None: those the system trusts), and
    the host name or address it is connected by among its subjectAltNames; a common name does not count (RFC 6125
    section 6.4.4). Without, anybody is believed: for tests only. Raises CertificateFault when `ca_file` cannot be
    used.
    """
    context = _hardened(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    context.check_hostname = verify
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if ca_file:
        context.load_verify_locations(cadata=_read_authorities(ca_file))
    elif verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _hardened(side: int) -> ssl.SSLContext:
    """What both sides want (RFC 9325 section 3). The groups stay OpenSSL's own: X25519 first, then P-256."""
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _first(pairs: Sequence[CertificatePair]) -> CertificatePair:
    if not pairs:
        raise ValueError("a listener with TLS needs a certificate")
    return pairs[0]


def _read_authorities(path: Path) -> str:
    """Return the text of a PEM file after trying it; all contexts of a listener are made from this one reading."""
    text = read_file(path).decode("ascii", "ignore")  # bundles carry the CAs' names in UTF-8 between the certificates
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except ssl.SSLError as error:
        remedy = "give the certificates of the CAs to trust, in PEM form"
        raise CertificateFault(path, "holds no usable CA certificate", remedy) from error
    return text

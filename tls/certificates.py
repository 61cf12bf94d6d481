"""Certificates read from files and judged before they are served: a fault names the file and the remedy."""

import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PrivateKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from tls.loading import load_pair
from tls.settings import CertificateFiles

RENEWAL_DUE: Final = timedelta(days=14)
"""So long before its end a certificate should have been renewed: ACME clients renew 30 days before, of 90."""

SMALLEST_RSA_BITS: Final = 2048
"""Below it clients refuse (NIST SP 800-57, CA/Browser Forum baseline requirements 6.1.5)."""

_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


class CertificateFault(Exception):
    """A certificate, key or CA file cannot be used; str() names the file, says what is wrong with it and what to do."""

    def __init__(self, file: Path, problem: str, remedy: str) -> None:
        super().__init__(file, problem, remedy)
        self.file = file
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}; {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatePair:
    """A chain and its private key, checked by `read_pair` and kept in memory.

    `chain` and `key` are PEM, written anew from what was parsed; `names` the DNS names and IP addresses the first
    certificate is good for (RFC 6125: subjectAltName only), in lower case, wildcards as they are; `not_before` and
    `not_after` are its dates, aware; `key_kind` is "EC P-256", "RSA 2048", "Ed25519" and the like. The key is never
    in repr().
    """

    files: CertificateFiles
    chain: bytes
    key: bytes = field(repr=False)
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key_kind: str

    @property
    def key_family(self) -> str:
        """The kind without its size: OpenSSL keeps one certificate per family in a context."""
        return self.key_kind.partition(" ")[0]


def read_pair(files: CertificateFiles, now: datetime | None = None) -> CertificatePair:
    """Read a chain and its key and check all that would only be noticed when a client connects.

    The files are PEM, the key is not encrypted and belongs to the first certificate, each certificate is signed by
    the next, the first is valid at `now` (aware; the present if None), and OpenSSL accepts the pair at its security
    level. Raises CertificateFault for the first of these that does not hold. `warnings` tells what is merely unwise.
    """
    chain = _read_chain(files.chain)
    key = _read_key(files.key)
    _check_key_fits(files, chain, key)
    _check_order(files.chain, chain)
    _check_dates(files.chain, chain[0], now or datetime.now(UTC))
    pair = CertificatePair(
        files=files,
        chain=b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain),
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        names=tuple(_names(chain[0])),
        not_before=chain[0].not_valid_before_utc,
        not_after=chain[0].not_valid_after_utc,
        key_kind=_key_kind(files.chain, chain[0].public_key()),
    )
    _check_loads(pair)
    return pair


def warnings(pair: CertificatePair, now: datetime | None = None) -> list[str]:
    """Return what an operator should know about a usable pair, one sentence each; empty when there is nothing to say.

    `now` is aware; the present if None.
    """
    chain = x509.load_pem_x509_certificates(pair.chain)
    return [
        f"{pair.files.chain}: {sentence}" for rule in _WARNINGS for sentence in rule(chain, now or datetime.now(UTC))
    ]


def read_file(path: Path) -> bytes:
    """Return what is in a certificate, key or CA file; raises CertificateFault when it cannot be read or is empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CertificateFault(
            path, f"cannot be read ({error.strerror})", "check the path and who may read the file"
        ) from error
    if not content.strip():
        raise CertificateFault(path, "is empty", "write the PEM file again")
    return content


def _read_chain(path: Path) -> list[x509.Certificate]:
    content = read_file(path)
    if b"-----BEGIN CERTIFICATE-----" not in content:
        remedy = "chain and key may be exchanged" if b"PRIVATE KEY-----" in content else "give the chain in PEM form"
        raise CertificateFault(path, "holds no PEM certificate", remedy)
    try:
        return [_parsed(certificate) for certificate in x509.load_pem_x509_certificates(content)]
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise CertificateFault(path, "holds a damaged certificate", "copy the file again from your CA") from error


def _parsed(certificate: x509.Certificate) -> x509.Certificate:
    """Read the parts that `cryptography` parses only when asked, so that damage shows where the file is read."""
    certificate.public_key()
    _ = certificate.extensions
    return certificate


def _read_key(path: Path) -> PrivateKeyTypes:
    content = read_file(path)
    if b"PRIVATE KEY-----" not in content:
        remedy = "chain and key may be exchanged" if b"BEGIN CERTIFICATE" in content else "give the key in PEM form"
        raise CertificateFault(path, "holds no PEM private key", remedy)
    try:
        return load_pem_private_key(content, password=None)
    except TypeError as error:
        remedy = f"write it without a passphrase: openssl pkey -in {path} -out {path}.plain"
        raise CertificateFault(path, "holds an encrypted private key", remedy) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateFault(path, "holds a damaged or unknown private key", "copy the key file again") from error


def _check_key_fits(files: CertificateFiles, chain: Sequence[x509.Certificate], key: PrivateKeyTypes) -> None:
    wanted = _public_bytes(key.public_key())
    holders = [
        number for number, certificate in enumerate(chain, 1) if _public_bytes(certificate.public_key()) == wanted
    ]
    if not holders:
        problem = f"this key does not belong to the first certificate in {files.chain}"
        raise CertificateFault(files.key, problem, "give the key the certificate was requested with")
    if holders[0] != 1:
        problem = f"certificate {holders[0]} belongs to the key, the first one does not"
        raise CertificateFault(files.chain, problem, "put the server's certificate first")


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_order(path: Path, chain: Sequence[x509.Certificate]) -> None:
    for number, (certificate, issuer) in enumerate(pairwise(chain), 1):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
            problem = f"certificate {number} was not issued by certificate {number + 1}"
            raise CertificateFault(path, problem, "put each issuer behind what it issued, without strangers") from error


def _check_dates(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise CertificateFault(path, f"expired on {end:%Y-%m-%d %H:%M} UTC", "renew the certificate")
    if now < begin:
        remedy = "check the clock of this machine or wait"
        raise CertificateFault(path, f"is not valid before {begin:%Y-%m-%d %H:%M} UTC", remedy)


def _check_loads(pair: CertificatePair) -> None:
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair.chain, pair.key)
    except ssl.SSLError as error:
        problem = f"OpenSSL refuses it ({error.reason})"
        raise CertificateFault(
            pair.files.chain, problem, "use a certificate with a stronger key and signature"
        ) from error


def _key_kind(path: Path, key: CertificatePublicKeyTypes) -> str:
    match key:
        case ec.EllipticCurvePublicKey():
            return f"EC {_CURVES.get(key.curve.name, key.curve.name)}"
        case rsa.RSAPublicKey():
            return f"RSA {key.key_size}"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case ed448.Ed448PublicKey():
            return "Ed448"
    raise CertificateFault(path, "has a key that TLS cannot use", "use a certificate with an EC or RSA key")


def _names(certificate: x509.Certificate) -> Iterator[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    yield from (name.lower() for name in names.get_values_for_type(x509.DNSName))
    yield from (str(address) for address in names.get_values_for_type(x509.IPAddress))


def _warn_of_dates(chain: Sequence[x509.Certificate], now: datetime) -> Iterator[str]:
    for number, certificate in enumerate(chain, 1):
        left = certificate.not_valid_after_utc - now
        if left <= RENEWAL_DUE:
            when = "has expired" if left < timedelta() else f"expires in {left.days} days"
            yield f"certificate {number} {when}, renew it"


def _warn_of_small_keys(chain: Sequence[x509.Certificate], _now: datetime) -> Iterator[str]:
    for number, certificate in enumerate(chain, 1):
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < SMALLEST_RSA_BITS:
            yield f"certificate {number} has an RSA key of {key.key_size} bits, clients want {SMALLEST_RSA_BITS}"


def _warn_of_missing_names(chain: Sequence[x509.Certificate], _now: datetime) -> Iterator[str]:
    if not any(_names(chain[0])):
        yield "has no subjectAltName, no client will accept its name"


def _warn_of_self_signature(chain: Sequence[x509.Certificate], _now: datetime) -> Iterator[str]:
    if chain[0].issuer == chain[0].subject:
        yield "is self-signed, clients will warn their users"


def _warn_of_wrong_purpose(chain: Sequence[x509.Certificate], _now: datetime) -> Iterator[str]:
    try:
        purposes = chain[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
        yield "is not meant for servers (extendedKeyUsage has no serverAuth), clients will refuse it"


_WARNINGS: Final[tuple[Callable[[Sequence[x509.Certificate], datetime], Iterator[str]], ...]] = (
    _warn_of_dates,
    _warn_of_small_keys,
    _warn_of_missing_names,
    _warn_of_self_signature,
    _warn_of_wrong_purpose,
)

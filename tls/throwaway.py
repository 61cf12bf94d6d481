"""Certificates that vouch for nothing: a CA that lives as long as the process, for tests and demonstrations."""

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tls.settings import CertificateFiles

_PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_LIFETIME: Final = timedelta(days=30)
_CLOCK_SKEW: Final = timedelta(hours=1)
_SERVER: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
_CLIENT: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


class ThrowawayAuthority:
    """A certificate authority with a key of its own that is never written anywhere."""

    def __init__(self, common_name: str = "Vestibule throw-away CA") -> None:
        now = datetime.now(UTC)
        self._name: Final = _subject(common_name, None)
        self._key: Final = ec.generate_private_key(ec.SECP256R1())
        self._certificate: Final = (
            x509.CertificateBuilder(self._name, self._name, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + 2 * _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_CA_USAGE, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate_pem(self) -> bytes:
        """The CA's own certificate."""
        return self._certificate.public_bytes(Encoding.PEM)

    def write_ca(self, path: Path) -> Path:
        """Write the CA's certificate to `path` and return it."""
        path.write_bytes(self.certificate_pem)
        return path

    def issue(
        self,
        directory: Path,
        name: str,
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        *,
        key: Literal["ec", "rsa"] = "ec",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        common_name: str | None = None,
        email: str | None = None,
        client: bool = False,
    ) -> CertificateFiles:
        """Write `name`.pem (the certificate and the CA's) and `name`.key (readable by us only) into `directory`.

        `dns`, `ips` and `email` become subjectAltNames; `email` and `common_name` (None: `name`) the subject, as
        client certificates have it. Valid from an hour ago for 30 days unless said otherwise (aware times); P-256 or
        RSA 2048; for servers or, with `client`, for clients. Raises OSError, and ValueError for an address that is
        none.
        """
        private = _KEYS[key]()
        end = not_after or datetime.now(UTC) + _LIFETIME
        begin = not_before or min(end, datetime.now(UTC)) - _CLOCK_SKEW
        builder = (
            x509.CertificateBuilder(self._name, _subject(common_name or name, email), private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_CLIENT if client else _SERVER, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names := list(_alternative_names(dns, ips, email)):
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return self._write(directory, name, builder.sign(self._key, hashes.SHA256()), private)

    def _write(self, directory: Path, name: str, certificate: x509.Certificate, key: _PrivateKey) -> CertificateFiles:
        files = CertificateFiles(chain=directory / f"{name}.pem", key=directory / f"{name}.key")
        files.chain.write_bytes(certificate.public_bytes(Encoding.PEM) + self.certificate_pem)
        files.key.touch(mode=0o600)
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files


def _new_ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _new_rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


_KEYS: Final[Mapping[str, Callable[[], _PrivateKey]]] = {"ec": _new_ec_key, "rsa": _new_rsa_key}

_CA_USAGE: Final = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _subject(common_name: str, email: str | None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if email:
        attributes.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, email))
    return x509.Name(attributes)


def _alternative_names(dns: Sequence[str], ips: Sequence[str], email: str | None) -> Iterator[x509.GeneralName]:
    yield from map(x509.DNSName, dns)
    yield from (x509.IPAddress(ipaddress.ip_address(address)) for address in ips)
    if email:
        yield x509.RFC822Name(email)

"""A fault in a certificate is found before it is served, and names the file."""

import base64
import dataclasses
import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes, CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.tls.peers import write
from tls import CertificateFault, CertificateFiles, CertificatePair, ThrowawayAuthority, read_pair, warnings
from tls.loading import load_pair


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def signed_by(
    key: CertificateIssuerPrivateKeyTypes,
    subject: str,
    public: CertificatePublicKeyTypes,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    """A certificate from an issuer called "issuer", valid today, with just these extensions."""
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")]),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]),
        public,
        x509.random_serial_number(),
        now - timedelta(hours=1),
        now + timedelta(days=90),
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm)


def self_signed_files(directory: Path, key: CertificateIssuerPrivateKeyTypes) -> CertificateFiles:
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return CertificateFiles(
        chain=write(directory / "self.pem", pem(signed_by(key, "issuer", key.public_key()))),
        key=write(directory / "self.key", secret),
    )


def fault_of(files: CertificateFiles, now: datetime | None = None) -> CertificateFault:
    with pytest.raises(CertificateFault) as caught:
        read_pair(files, now)
    fault = caught.value
    assert str(fault) == f"{fault.file}: {fault.problem}; {fault.remedy}"
    return fault


# --- a good pair ---------------------------------------------------------------------------------------------------


def test_a_good_pair_tells_its_names_dates_and_kind(authority: ThrowawayAuthority, tmp_path: Path) -> None:
    end = datetime(2040, 1, 1, tzinfo=UTC)
    files = authority.issue(tmp_path, "a", dns=["IMAP.Example", "*.mail.example"], ips=["2001:db8::1"], not_after=end)
    pair = read_pair(files)
    assert pair.files == files
    assert pair.names == ("imap.example", "*.mail.example", "2001:db8::1")
    assert pair.not_before < datetime.now(UTC) < pair.not_after == end
    assert (pair.key_kind, pair.key_family) == ("EC P-256", "EC")
    assert pair.chain == files.chain.read_bytes()
    assert warnings(pair) == []


def test_a_key_is_never_printed(files: CertificateFiles) -> None:
    pair = read_pair(files)
    assert b"PRIVATE KEY" in pair.key
    assert "PRIVATE" not in repr(pair)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "EC P-384"),
        (ec.generate_private_key(ec.SECP256K1()), "EC secp256k1"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
        (rsa.generate_private_key(65537, 2048), "RSA 2048"),
    ],
)
def test_the_kind_of_key_is_told_in_the_words_of_operators(
    tmp_path: Path, key: CertificateIssuerPrivateKeyTypes, kind: str
) -> None:
    assert read_pair(self_signed_files(tmp_path, key)).key_kind == kind


def test_one_file_may_hold_chain_and_key(files: CertificateFiles, tmp_path: Path) -> None:
    both = write(tmp_path / "both.pem", files.key.read_bytes() + files.chain.read_bytes())
    assert read_pair(CertificateFiles(chain=both, key=both)).names == ("imap.example",)


def test_a_key_in_the_traditional_form_with_its_parameters_is_read(files: CertificateFiles, tmp_path: Path) -> None:
    key = load_pem_private_key(files.key.read_bytes(), None)
    old = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    written = write(tmp_path / "old.key", parameters + old)
    assert read_pair(dataclasses.replace(files, key=written)).key_kind == "EC P-256"


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["chain", "key"])
def test_a_missing_file_is_named(files: CertificateFiles, which: str) -> None:
    path: Path = getattr(files, which)
    path.unlink()
    fault = fault_of(files)
    assert fault.file == path
    assert fault.problem == "cannot be read (No such file or directory)"
    assert "who may read" in fault.remedy


def test_a_key_nobody_may_read_is_named(files: CertificateFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    read_bytes = Path.read_bytes

    def refuse_keys(path: Path) -> bytes:
        if path == files.key:
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse_keys)
    fault = fault_of(files)
    assert (fault.file, fault.problem) == (files.key, "cannot be read (Permission denied)")


@pytest.mark.parametrize("which", ["chain", "key"])
@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_named(files: CertificateFiles, which: str, content: bytes) -> None:
    path = write(getattr(files, which), content)
    assert (fault_of(files).file, fault_of(files).problem) == (path, "is empty")


def test_exchanged_files_are_recognised(files: CertificateFiles) -> None:
    fault = fault_of(CertificateFiles(chain=files.key, key=files.chain))
    assert (fault.file, fault.problem) == (files.key, "holds no PEM certificate")
    assert fault.remedy == "chain and key may be exchanged"


def test_a_certificate_in_place_of_the_key_is_recognised(files: CertificateFiles) -> None:
    fault = fault_of(dataclasses.replace(files, key=files.chain))
    assert (fault.file, fault.problem) == (files.chain, "holds no PEM private key")
    assert fault.remedy == "chain and key may be exchanged"


def test_der_is_not_pem(files: CertificateFiles) -> None:
    certificate = x509.load_pem_x509_certificate(files.chain.read_bytes())
    write(files.chain, certificate.public_bytes(Encoding.DER))
    assert fault_of(files).remedy == "give the chain in PEM form"


def test_a_key_in_der_is_not_pem(files: CertificateFiles) -> None:
    write(files.key, b"\x30\x77\x02\x01\x01")
    assert fault_of(files).remedy == "give the key in PEM form"


def test_an_encrypted_key_is_refused_with_the_command_that_helps(files: CertificateFiles) -> None:
    key = load_pem_private_key(files.key.read_bytes(), None)
    write(files.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    fault = fault_of(files)
    assert (fault.file, fault.problem) == (files.key, "holds an encrypted private key")
    assert fault.remedy.startswith("write it without a passphrase: openssl pkey -in ")


def test_a_damaged_certificate_is_named(files: CertificateFiles) -> None:
    write(files.chain, files.chain.read_bytes().replace(b"MI", b"!!"))
    assert (fault_of(files).file, fault_of(files).problem) == (files.chain, "holds a damaged certificate")


def test_damage_in_a_part_that_is_parsed_late_is_found(files: CertificateFiles) -> None:
    der = x509.load_pem_x509_certificate(files.chain.read_bytes()).public_bytes(Encoding.DER)
    body = base64.encodebytes(der.replace(b"imap.example", b"\xff" * len("imap.example")))
    write(files.chain, b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n")
    assert fault_of(files).problem == "holds a damaged certificate"


def test_a_damaged_key_is_named(files: CertificateFiles) -> None:
    write(files.key, files.key.read_bytes().replace(b"MI", b"!!"))
    assert (fault_of(files).file, fault_of(files).problem) == (files.key, "holds a damaged or unknown private key")


# --- what belongs together -----------------------------------------------------------------------------------------


def test_a_strangers_key_is_named_with_the_chain_it_should_fit(
    files: CertificateFiles, authority: ThrowawayAuthority, tmp_path: Path
) -> None:
    other = authority.issue(tmp_path, "other", dns=["other.example"])
    fault = fault_of(dataclasses.replace(files, key=other.key))
    assert fault.file == other.key
    assert str(files.chain) in fault.problem


def test_a_chain_that_begins_with_the_issuer_is_refused(files: CertificateFiles, authority: ThrowawayAuthority) -> None:
    leaf = pem(x509.load_pem_x509_certificates(files.chain.read_bytes())[0])
    write(files.chain, authority.certificate_pem + leaf)
    fault = fault_of(files)
    assert (fault.file, fault.remedy) == (files.chain, "put the server's certificate first")


@pytest.mark.parametrize("name", ["Vestibule throw-away CA", "Another CA"], ids=["same name", "other name"])
def test_an_issuer_that_did_not_issue_is_refused(files: CertificateFiles, name: str) -> None:
    leaf = pem(x509.load_pem_x509_certificates(files.chain.read_bytes())[0])
    write(files.chain, leaf + ThrowawayAuthority(name).certificate_pem)
    fault = fault_of(files)
    assert (fault.file, fault.problem) == (files.chain, "certificate 1 was not issued by certificate 2")


def test_a_key_tls_cannot_use_is_refused(tmp_path: Path) -> None:
    key = x25519.X25519PrivateKey.generate()
    certificate = signed_by(ec.generate_private_key(ec.SECP256R1()), "leaf", key.public_key())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files = CertificateFiles(chain=write(tmp_path / "x.pem", pem(certificate)), key=write(tmp_path / "x.key", secret))
    assert (fault_of(files).file, fault_of(files).problem) == (files.chain, "has a key that TLS cannot use")


def test_what_openssl_thinks_too_weak_is_a_fault(
    authority: ThrowawayAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_strictly(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
        context.set_ciphers("DEFAULT@SECLEVEL=4")
        load_pair(context, chain, key)

    monkeypatch.setattr("tls.certificates.load_pair", load_strictly)
    fault = fault_of(authority.issue(tmp_path, "weak", dns=["weak.example"], key="rsa"))
    assert fault.file == tmp_path / "weak.pem"
    assert fault.problem == "OpenSSL refuses it (EE_KEY_TOO_SMALL)"


# --- dates ---------------------------------------------------------------------------------------------------------


def test_dates_are_judged_at_the_given_time(authority: ThrowawayAuthority, tmp_path: Path) -> None:
    begin, end = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 4, 1, tzinfo=UTC)
    files = authority.issue(tmp_path, "a", dns=["a.example"], not_before=begin, not_after=end)
    early, late = fault_of(files, begin - timedelta(seconds=1)), fault_of(files, end + timedelta(seconds=1))
    assert (early.file, early.problem) == (files.chain, "is not valid before 2030-01-01 00:00 UTC")
    assert (late.file, late.problem) == (files.chain, "expired on 2030-04-01 00:00 UTC")
    assert read_pair(files, begin).not_before == begin
    assert read_pair(files, end).not_after == end


# --- warnings ------------------------------------------------------------------------------------------------------


def told(pair: CertificatePair, now: datetime | None = None) -> list[str]:
    """The warnings without the file, which every one begins with."""
    sentences = warnings(pair, now)
    assert all(sentence.startswith(f"{pair.files.chain}: ") for sentence in sentences)
    return [sentence.removeprefix(f"{pair.files.chain}: ") for sentence in sentences]


def test_an_approaching_end_is_told_two_weeks_before(files: CertificateFiles) -> None:
    pair = read_pair(files)
    assert told(pair, pair.not_after - timedelta(days=14, seconds=1)) == []
    assert told(pair, pair.not_after - timedelta(days=14)) == ["certificate 1 expires in 14 days, renew it"]
    assert told(pair, pair.not_after + timedelta(seconds=1)) == ["certificate 1 has expired, renew it"]


def test_an_issuer_about_to_expire_is_told_too(authority: ThrowawayAuthority, tmp_path: Path) -> None:
    end = datetime.now(UTC) + timedelta(days=400)
    pair = read_pair(authority.issue(tmp_path, "a", dns=["a.example"], not_after=end))
    assert told(pair, end - timedelta(days=300)) == ["certificate 2 has expired, renew it"]


def test_a_certificate_without_alternative_names_is_told(authority: ThrowawayAuthority, tmp_path: Path) -> None:
    pair = read_pair(authority.issue(tmp_path, "imap.example"))
    assert pair.names == ()
    assert told(pair) == ["has no subjectAltName, no client will accept its name"]


def test_a_self_signed_certificate_is_told(tmp_path: Path) -> None:
    pair = read_pair(self_signed_files(tmp_path, ec.generate_private_key(ec.SECP256R1())))
    assert "is self-signed, clients will warn their users" in told(pair)


def test_a_small_rsa_key_is_told(files: CertificateFiles) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the weakness is the point
    names = x509.SubjectAlternativeName([x509.DNSName("imap.example")])
    chain = pem(signed_by(key, "imap.example", key.public_key(), names))
    assert told(dataclasses.replace(read_pair(files), chain=chain)) == [
        "certificate 1 has an RSA key of 1024 bits, clients want 2048"
    ]


@pytest.mark.parametrize(
    ("purpose", "problems"),
    [
        (ExtendedKeyUsageOID.CLIENT_AUTH, 1),
        (ExtendedKeyUsageOID.SERVER_AUTH, 0),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, 0),
    ],
)
def test_a_certificate_that_is_not_for_servers_is_told(
    files: CertificateFiles, purpose: x509.ObjectIdentifier, problems: int
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName("imap.example")])
    chain = pem(signed_by(key, "imap.example", key.public_key(), names, x509.ExtendedKeyUsage([purpose])))
    sentences = told(dataclasses.replace(read_pair(files), chain=chain))
    assert len(sentences) == problems
    assert all(re.search("extendedKeyUsage has no serverAuth", sentence) for sentence in sentences)

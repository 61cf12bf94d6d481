"""A throw-away authority issues what tests and demonstrations need."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.tls.peers import anybody, connected, plain_server
from tls import CertificateFault, ServerContexts, ThrowawayAuthority, backend_context, read_pair


def test_a_server_certificate_is_believed_by_who_trusts_the_authority(
    authority: ThrowawayAuthority, tmp_path: Path, ca_file: Path
) -> None:
    server = plain_server(authority.issue(tmp_path, "mb1", dns=["mb1.example"], ips=["192.0.2.1", "2001:db8::1"]))
    with connected(server, backend_context(ca_file, verify=True), "mb1.example") as connection:
        assert connection.names == {"mb1.example", "192.0.2.1", "2001:db8::1"}


def test_keys_are_of_the_wanted_kind(authority: ThrowawayAuthority, tmp_path: Path) -> None:
    assert read_pair(authority.issue(tmp_path, "e", dns=["e.example"])).key_kind == "EC P-256"
    assert read_pair(authority.issue(tmp_path, "r", dns=["r.example"], key="rsa")).key_kind == "RSA 2048"


def test_a_key_file_is_for_its_owner_only(authority: ThrowawayAuthority, tmp_path: Path) -> None:
    assert authority.issue(tmp_path, "a").key.stat().st_mode & 0o077 == 0


def test_a_client_certificate_carries_name_and_address(
    authority: ThrowawayAuthority, tmp_path: Path, ca_file: Path
) -> None:
    mine = authority.issue(tmp_path, "alice", common_name="Alice", email="alice@example.org", client=True)
    pair = read_pair(authority.issue(tmp_path, "imap", dns=["imap.example"]))
    client = anybody()
    client.load_cert_chain(mine.chain, mine.key)
    with connected(ServerContexts([pair], alpn="imap", client_ca=ca_file).context, client) as connection:
        shown = connection.server.getpeercert()
    assert shown
    assert shown["subject"] == ((("commonName", "Alice"),), (("emailAddress", "alice@example.org"),))
    assert shown["subjectAltName"] == (("email", "alice@example.org"),)


def test_dates_are_as_wanted(authority: ThrowawayAuthority, tmp_path: Path) -> None:
    begin, end = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 2, 1, tzinfo=UTC)
    pair = read_pair(authority.issue(tmp_path, "a", not_before=begin, not_after=end), now=begin)
    assert (pair.not_before, pair.not_after) == (begin, end)


def test_an_expired_certificate_needs_only_its_end(authority: ThrowawayAuthority, tmp_path: Path) -> None:
    with pytest.raises(CertificateFault, match="expired"):
        read_pair(authority.issue(tmp_path, "a", not_after=datetime.now(UTC) - timedelta(days=1)))


def test_the_certificate_of_the_authority_is_a_ca(authority: ThrowawayAuthority) -> None:
    certificate = x509.load_pem_x509_certificate(authority.certificate_pem)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_an_address_that_is_none_is_refused(authority: ThrowawayAuthority, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="imap"):
        authority.issue(tmp_path, "a", ips=["imap.example"])


def test_two_authorities_do_not_know_each_other(authority: ThrowawayAuthority, tmp_path: Path, ca_file: Path) -> None:
    stranger = plain_server(ThrowawayAuthority().issue(tmp_path, "mb1", dns=["mb1.example"]))
    with (
        pytest.raises(ssl.SSLCertVerificationError),
        connected(stranger, backend_context(ca_file, verify=True), "mb1.example"),
    ):
        pass

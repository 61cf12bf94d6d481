"""Which certificate a client meets, what survives a reload, and which backends we believe."""

import contextlib
import ssl
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.tls.peers import anybody, client_hello, connected, forked_server, plain_server, write
from tls import (
    CertificateFault,
    CertificateFiles,
    CertificatePair,
    ServerContexts,
    ThrowawayAuthority,
    backend_context,
    read_pair,
)

PairFor = Callable[..., CertificatePair]


def serving(*pairs: CertificatePair) -> ServerContexts:
    return ServerContexts(pairs, alpn="imap")


def names_shown(contexts: ServerContexts, name: str | None = None, client: ssl.SSLContext | None = None) -> set[str]:
    with connected(contexts.context, client or anybody(), name) as connection:
        return connection.names


def only(version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client for one version of TLS, with every cipher OpenSSL still has."""
    context = anybody()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
    return context


def ticket_from(contexts: ServerContexts, client: ssl.SSLContext) -> ssl.SSLSession:
    with connected(contexts.context, client) as connection:
        assert connection.client.session
        return connection.client.session


def resumes(contexts: ServerContexts, client: ssl.SSLContext, ticket: ssl.SSLSession, name: str | None = None) -> bool:
    with connected(contexts.context, client, name, ticket) as connection:
        return connection.resumed


# --- choice by name ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (None, "default.example"),
        ("default.example", "default.example"),
        ("imap.example", "imap.example"),
        ("IMAP.Example", "imap.example"),
        ("alice.mail.example", "*.mail.example"),
        ("exact.mail.example", "exact.mail.example"),
        ("a.b.mail.example", "default.example"),
        ("mail.example", "default.example"),
        ("unknown.example", "default.example"),
        ("localhost", "default.example"),
    ],
)
def test_a_client_meets_the_certificate_for_the_name_it_asks_for(
    pair_for: PairFor, asked: str | None, shown: str
) -> None:
    certificates = ["default.example", "imap.example", "*.mail.example", "exact.mail.example"]
    contexts = serving(*map(pair_for, certificates))
    assert names_shown(contexts, asked) == {shown}


def test_of_two_certificates_for_one_name_the_earlier_is_served(pair_for: PairFor) -> None:
    contexts = serving(
        pair_for("default.example"), pair_for("a.example", "b.example"), pair_for("c.example", "b.example")
    )
    assert names_shown(contexts, "b.example") == {"a.example", "b.example"}


def test_one_certificate_needs_no_callback(pair_for: PairFor) -> None:
    assert serving(pair_for("imap.example")).context.sni_callback is None


def test_a_listener_without_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a certificate"):
        serving()


# --- versions, ciphers, ALPN ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "spoken"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_tls_1_2_and_1_3_are_spoken_without_compression(
    pair_for: PairFor, version: ssl.TLSVersion, spoken: str
) -> None:
    with connected(serving(pair_for("imap.example")).context, only(version)) as connection:
        assert connection.client.version() == spoken
        assert connection.client.compression() is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_refused(pair_for: PairFor, version: ssl.TLSVersion) -> None:
    context = serving(pair_for("imap.example")).context
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"), connected(context, only(version)):
        pass


@pytest.mark.parametrize("ciphers", ["AES128-GCM-SHA256", "ECDHE-RSA-AES256-SHA384", "DHE-RSA-AES256-GCM-SHA384"])
def test_ciphers_without_forward_secrecy_or_authentication_are_refused(
    authority: ThrowawayAuthority, tmp_path: Path, ciphers: str
) -> None:
    context = serving(read_pair(authority.issue(tmp_path, "rsa", dns=["imap.example"], key="rsa"))).context
    client = only(ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(ciphers)
    with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"), connected(context, client):
        pass


def test_renegotiation_and_compression_are_off(pair_for: PairFor) -> None:
    for context in (serving(pair_for("imap.example")).context, backend_context(None, verify=True)):
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION


def test_x25519_is_agreed_on_first(pair_for: PairFor) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(client_hello())
    with contextlib.suppress(ssl.SSLWantReadError):
        context = serving(pair_for("imap.example")).context
        context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    key_share, x25519, size = b"\0\x33\0\x24", b"\0\x1d", b"\0\x20"
    assert key_share + x25519 + size in outgoing.read()


def test_a_client_that_knows_p256_only_is_served(pair_for: PairFor) -> None:
    client = anybody()
    client.set_ecdh_curve("prime256v1")
    assert names_shown(serving(pair_for("imap.example")), client=client) == {"imap.example"}


def test_the_protocol_is_agreed_on_whatever_certificate_is_chosen(pair_for: PairFor) -> None:
    contexts = serving(pair_for("default.example"), pair_for("imap.example"))
    client = anybody()
    client.set_alpn_protocols(["http/1.1", "imap"])
    for name in ("default.example", "imap.example"):
        with connected(contexts.context, client, name) as connection:
            assert connection.client.selected_alpn_protocol() == "imap"


# --- reload --------------------------------------------------------------------------------------------------------


def test_a_reload_serves_the_new_certificate_and_keeps_tickets_and_sessions(pair_for: PairFor) -> None:
    contexts, client = serving(pair_for("old.example")), anybody()
    context = contexts.context
    with connected(context, client) as running:
        ticket = running.client.session
        assert ticket
        contexts.replace([pair_for("new.example")])
        assert running.carries(b"still here")
        assert running.names == {"old.example"}
    assert contexts.context is context
    assert names_shown(contexts) == {"new.example"}
    assert resumes(contexts, client, ticket)


def test_a_reload_with_several_certificates_replaces_each(pair_for: PairFor) -> None:
    contexts, client = serving(pair_for("a.example"), pair_for("b.example")), anybody()
    ticket = ticket_from(contexts, client)
    contexts.replace([pair_for("a.example", "a2.example"), pair_for("b.example", "b2.example")])
    assert names_shown(contexts, "a.example") == {"a.example", "a2.example"}
    assert names_shown(contexts, "b2.example") == {"b.example", "b2.example"}
    assert resumes(contexts, client, ticket, "b.example")


def test_a_reload_may_add_exchange_and_take_away_certificates(pair_for: PairFor) -> None:
    first, second = pair_for("a.example"), pair_for("b.example")
    contexts, client = serving(first), anybody()
    ticket = ticket_from(contexts, client)
    contexts.replace([second, first])
    assert (names_shown(contexts), names_shown(contexts, "a.example")) == ({"b.example"}, {"a.example"})
    contexts.replace([first])
    assert (names_shown(contexts), names_shown(contexts, "b.example")) == ({"a.example"}, {"a.example"})
    assert contexts.context.sni_callback is None
    assert resumes(contexts, client, ticket)


def test_a_key_of_another_kind_does_not_leave_the_old_certificate_in_service(
    authority: ThrowawayAuthority, pair_for: PairFor, tmp_path: Path
) -> None:
    contexts, client = serving(pair_for("ec.example")), anybody()
    ticket = ticket_from(contexts, client)
    contexts.replace([read_pair(authority.issue(tmp_path, "rsa", dns=["rsa.example"], key="rsa"))])
    assert names_shown(contexts) == names_shown(contexts, "ec.example") == {"rsa.example"}
    assert resumes(contexts, client, ticket)
    contexts.replace([pair_for("ec2.example")])
    assert names_shown(contexts) == {"ec2.example"}


def test_a_reload_without_certificates_changes_nothing(pair_for: PairFor) -> None:
    contexts = serving(pair_for("a.example"), pair_for("b.example"))
    with pytest.raises(ValueError, match="needs a certificate"):
        contexts.replace([])
    assert names_shown(contexts, "b.example") == {"b.example"}


# --- tickets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ticket_resumes(pair_for: PairFor, version: ssl.TLSVersion) -> None:
    contexts, client = serving(pair_for("imap.example")), only(version)
    assert resumes(contexts, client, ticket_from(contexts, client))


def test_a_worker_resumes_what_another_began(pair_for: PairFor) -> None:
    contexts, client = serving(pair_for("imap.example")), anybody()
    tickets: list[ssl.SSLSession | None] = [None]
    for reused in (False, True):
        with (
            forked_server(contexts.context) as far,
            client.wrap_socket(far, session=tickets[-1]) as connection,
        ):
            assert connection.recv(1) == b"*"
            assert connection.session_reused is reused
            tickets.append(connection.session)
            connection.send(b"*")
    assert tickets[-1] is not None
    assert resumes(contexts, client, tickets[-1])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ticket_from_a_listener_without_client_certificates_does_not_resume_at_one_with(
    pair_for: PairFor, ca_file: Path, version: ssl.TLSVersion
) -> None:
    pair, client = pair_for("imap.example"), only(version)
    without, asking = serving(pair), ServerContexts([pair], alpn="imap", client_ca=ca_file)
    assert not resumes(asking, client, ticket_from(without, client))
    assert not resumes(without, client, ticket_from(asking, client))
    assert resumes(asking, client, ticket_from(asking, client))


# --- client certificates -------------------------------------------------------------------------------------------


@pytest.fixture
def asking(pair_for: PairFor, ca_file: Path) -> ServerContexts:
    """Two certificates, so that the choice by name is part of what is tested."""
    return ServerContexts([pair_for("default.example"), pair_for("imap.example")], alpn="imap", client_ca=ca_file)


def client_with(files: CertificateFiles) -> ssl.SSLContext:
    context = anybody()
    context.load_cert_chain(files.chain, files.key)
    return context


@pytest.mark.parametrize("name", ["default.example", "imap.example"])
def test_a_client_certificate_is_read_and_survives_resumption(
    asking: ServerContexts, authority: ThrowawayAuthority, tmp_path: Path, name: str
) -> None:
    client = client_with(authority.issue(tmp_path, "alice", email="alice@example.org", client=True))
    ticket = None
    for _ in range(2):
        with connected(asking.context, client, name, ticket) as connection:
            shown = connection.server.getpeercert()
            assert shown
            assert shown["subjectAltName"] == (("email", "alice@example.org"),)
            assert connection.resumed is (ticket is not None)
            ticket = connection.client.session


def test_a_client_may_come_without_certificate(asking: ServerContexts) -> None:
    with connected(asking.context, anybody(), "imap.example") as connection:
        assert connection.server.getpeercert() is None


@pytest.mark.parametrize("name", ["default.example", "imap.example"])
def test_a_client_certificate_from_a_stranger_is_refused(asking: ServerContexts, tmp_path: Path, name: str) -> None:
    client = client_with(ThrowawayAuthority("Stranger").issue(tmp_path, "mallory", client=True))
    with pytest.raises(ssl.SSLCertVerificationError), connected(asking.context, client, name):
        pass


def test_a_server_certificate_does_not_identify_a_client(asking: ServerContexts, files: CertificateFiles) -> None:
    with pytest.raises(ssl.SSLCertVerificationError), connected(asking.context, client_with(files)):
        pass


def test_a_reload_goes_on_with_the_client_authorities_of_the_beginning(
    asking: ServerContexts, pair_for: PairFor, ca_file: Path, authority: ThrowawayAuthority, tmp_path: Path
) -> None:
    ca_file.unlink()
    asking.replace([pair_for("a.example"), pair_for("b.example")])
    client = client_with(authority.issue(tmp_path, "alice", client=True))
    with connected(asking.context, client, "b.example") as connection:
        assert connection.server.getpeercert()


# --- CA files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b"no certificate", "holds no usable CA certificate"),
        (b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", "holds no usable CA certificate"),
    ],
)
def test_a_useless_ca_file_is_named(pair_for: PairFor, tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "cas.pem"
    if content is not None:
        write(path, content)
    with pytest.raises(CertificateFault) as for_clients:
        ServerContexts([pair_for("imap.example")], alpn="imap", client_ca=path)
    with pytest.raises(CertificateFault) as for_backends:
        backend_context(path, verify=True)
    for fault in (for_clients.value, for_backends.value):
        assert (fault.file, fault.problem) == (path, problem)


def test_a_bundle_may_name_its_authorities_in_utf_8(files: CertificateFiles, ca_file: Path) -> None:
    write(ca_file, "# Főtanúsítvány\n".encode() + ca_file.read_bytes())
    with connected(plain_server(files), backend_context(ca_file, verify=True), "imap.example") as connection:
        assert connection.names == {"imap.example"}


# --- backends ------------------------------------------------------------------------------------------------------


def refusal(server: CertificateFiles, name: str, context: ssl.SSLContext) -> str:
    """Why the backend with this certificate is refused under this name."""
    with pytest.raises(ssl.SSLCertVerificationError) as caught, connected(plain_server(server), context, name):
        pass
    return caught.value.verify_message


@pytest.mark.parametrize("name", ["mb1.example", "MB1.example", "any.wild.example", "192.0.2.1", "2001:db8::1"])
def test_a_backend_is_believed_by_name_or_address(
    authority: ThrowawayAuthority, tmp_path: Path, ca_file: Path, name: str
) -> None:
    server = authority.issue(tmp_path, "mb1", dns=["mb1.example", "*.wild.example"], ips=["192.0.2.1", "2001:db8::1"])
    with connected(plain_server(server), backend_context(ca_file, verify=True), name) as connection:
        assert connection.carries(b"A1 NOOP\r\n")


@pytest.mark.parametrize("name", ["mb2.example", "a.mb1.example", "192.0.2.2", "127.0.0.1"])
def test_a_backend_with_another_name_is_refused(
    authority: ThrowawayAuthority, tmp_path: Path, ca_file: Path, name: str
) -> None:
    server = authority.issue(tmp_path, "mb1", dns=["mb1.example"], ips=["192.0.2.1"])
    assert "mismatch" in refusal(server, name, backend_context(ca_file, verify=True))


def test_a_name_that_is_only_the_common_name_does_not_count(
    authority: ThrowawayAuthority, tmp_path: Path, ca_file: Path
) -> None:
    server = authority.issue(tmp_path, "mb1", common_name="mb1.example")
    assert "mismatch" in refusal(server, "mb1.example", backend_context(ca_file, verify=True))


def test_an_expired_backend_is_refused(authority: ThrowawayAuthority, tmp_path: Path, ca_file: Path) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    server = authority.issue(tmp_path, "mb1", dns=["mb1.example"], not_after=yesterday)
    assert "expired" in refusal(server, "mb1.example", backend_context(ca_file, verify=True))


def test_a_backend_signed_by_a_stranger_is_refused(tmp_path: Path, ca_file: Path) -> None:
    server = ThrowawayAuthority("Stranger").issue(tmp_path, "mb1", dns=["mb1.example"])
    assert "self-signed" in refusal(server, "mb1.example", backend_context(ca_file, verify=True))


def test_without_a_ca_file_the_system_decides(
    files: CertificateFiles, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(files, "imap.example", backend_context(None, verify=True))
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    with connected(plain_server(files), backend_context(None, verify=True), "imap.example") as connection:
        assert connection.names == {"imap.example"}


def test_a_ca_file_takes_the_place_of_what_the_system_trusts(
    files: CertificateFiles, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    other = ThrowawayAuthority("Other").write_ca(tmp_path / "other.pem")
    assert refusal(files, "imap.example", backend_context(other, verify=True))


@pytest.mark.parametrize("with_file", [True, False])
def test_without_verification_anybody_is_believed(
    authority: ThrowawayAuthority, tmp_path: Path, ca_file: Path, with_file: bool
) -> None:
    server = ThrowawayAuthority().issue(tmp_path, "mb1", not_after=datetime.now(UTC) - timedelta(days=1))
    context = backend_context(ca_file if with_file else None, verify=False)
    with connected(plain_server(server), context, "mb1.example") as connection:
        assert connection.carries(b"A1 NOOP\r\n")


def test_a_backend_with_old_tls_is_refused(files: CertificateFiles, ca_file: Path) -> None:
    server = plain_server(files)
    server.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        server.minimum_version = ssl.TLSVersion.TLSv1
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError), connected(server, backend_context(ca_file, verify=True), "imap.example"):
        pass

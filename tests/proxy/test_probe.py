"""What the configuration check learns from a backend, and what it says of one that is not as configured."""

from __future__ import annotations

import socket
import ssl

import pytest

from proxy.probe import PROXY_V2_LOCAL, Offered, ProbeFailure, Target, probe
from proxy.sections import ProtocolName, TlsMode
from tests.proxy.fake_backend import STARTTLS, FakeBackend, running
from tls import ThrowawayAuthority, backend_context

PATIENCE = 20.0

IMAP_CAPA = ["?c CAPABILITY", "* CAPABILITY IMAP4rev1 ID AUTH=PLAIN", "c OK done"]
POP3_CAPA = ["?CAPA", "+OK", "USER", "SASL PLAIN", "."]
SIEVE = ['"IMPLEMENTATION" "Dovecot Pigeonhole"', '"SASL" "PLAIN"', '"XCLIENT" ""', "OK ready"]

SCRIPTS: list[tuple[ProtocolName, TlsMode, list[str], set[str]]] = [
    ("imap", "off", ["* OK [CAPABILITY IMAP4rev1] hi", *IMAP_CAPA], {"ID", "AUTH=PLAIN"}),
    ("imap", "implicit", [STARTTLS, "* OK hi", *IMAP_CAPA], {"ID"}),
    (
        "imap",
        "starttls",
        [
            "* OK hi",
            "?c CAPABILITY",
            "* CAPABILITY STARTTLS LOGINDISABLED",
            "c OK",
            "?s STARTTLS",
            "s OK",
            STARTTLS,
            *IMAP_CAPA,
        ],
        {"ID"},
    ),
    ("pop3", "off", ["+OK [XCLIENT] hi", *POP3_CAPA], {"XCLIENT", "USER"}),
    ("pop3", "implicit", [STARTTLS, "+OK hi", *POP3_CAPA], {"USER"}),
    (
        "pop3",
        "starttls",
        ["+OK hi", "?CAPA", "+OK", "STLS", ".", "?STLS", "+OK", STARTTLS, *POP3_CAPA],
        {"USER", "PLAIN"},
    ),
    ("managesieve", "off", [*SIEVE, "?CAPABILITY", *SIEVE], {"XCLIENT"}),
    ("managesieve", "implicit", [STARTTLS, *SIEVE, "?CAPABILITY", *SIEVE], {"XCLIENT"}),
    ("managesieve", "starttls", ['"SASL" ""', '"STARTTLS"', "OK", "?STARTTLS", "OK go", STARTTLS, *SIEVE], {"XCLIENT"}),
]


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context and a client's that believes it."""
    directory = tmp_path_factory.mktemp("tls")
    authority = ThrowawayAuthority()
    files = authority.issue(directory, "mb", ips=("127.0.0.1",))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.chain, files.key)
    return server, backend_context(authority.write_ca(directory / "ca.pem"), True)


def ask(
    protocol: ProtocolName,
    tls: TlsMode,
    script: list[str],
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    *,
    proxy_header: bool = False,
    timeout: float = PATIENCE,
) -> tuple[Offered, FakeBackend]:
    with running(FakeBackend(script, contexts[0])) as backend:
        target = Target("127.0.0.1", backend.port, protocol, tls, proxy_header, timeout)
        return probe(target, contexts[1]), backend


@pytest.mark.parametrize(("protocol", "tls", "script", "words"), SCRIPTS)
def test_a_backend_as_it_should_be_is_understood(
    protocol: ProtocolName,
    tls: TlsMode,
    script: list[str],
    words: set[str],
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    offered, _ = ask(protocol, tls, script, contexts)
    assert words <= offered.words
    assert offered.takes_passwords
    assert offered.forwards_client == bool({"ID", "XCLIENT"} & words)
    assert bool(offered.tls) == (tls != "off")


def test_nothing_said_before_starttls_counts_after_it(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    script = [
        "* OK hi",
        "?c CAPABILITY",
        "* CAPABILITY STARTTLS XCLIENT",
        "c OK",
        "?s STARTTLS",
        "s OK",
        STARTTLS,
        *IMAP_CAPA,
    ]
    offered, _ = ask("imap", "starttls", script, contexts)
    assert "XCLIENT" not in offered.words


def test_a_backend_that_wants_a_proxy_header_gets_one_of_our_own(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    script = ["?" + PROXY_V2_LOCAL.decode("latin-1"), "* OK hi", *IMAP_CAPA]
    _, backend = ask("imap", "off", script, contexts, proxy_header=True)
    assert backend.heard[0] == PROXY_V2_LOCAL


@pytest.mark.parametrize(
    ("protocol", "script"),
    [
        ("imap", ["* OK hi", "?c CAPABILITY", "* CAPABILITY IMAP4rev1 LOGINDISABLED", "c OK"]),
        ("pop3", ["+OK hi", "?CAPA", "+OK", "STLS", "."]),
        ("pop3", ["+OK hi", "?CAPA", "-ERR what"]),
        ("managesieve", ['"SASL" ""', "OK", "?CAPABILITY", '"SASL" ""', "OK"]),
    ],
)
def test_a_backend_that_takes_no_password_in_clear_is_noticed(
    protocol: ProtocolName, script: list[str], contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    assert not ask(protocol, "off", script, contexts)[0].takes_passwords


@pytest.mark.parametrize(
    ("protocol", "tls", "script", "message"),
    [
        ("imap", "off", ["+OK POP3"], "it does not speak IMAP at this port: it said '+OK POP3'"),
        ("imap", "off", ["* PREAUTH hi"], "it does not speak IMAP"),
        ("pop3", "off", ["* OK IMAP"], "it does not speak POP3"),
        ("managesieve", "off", ["* OK IMAP"], "it does not speak ManageSieve"),
        ("managesieve", "off", ["BYE", "(TRYLATER)"], "it does not speak ManageSieve"),
        ("imap", "starttls", ["* OK hi", *IMAP_CAPA], "it does not offer STARTTLS; switch TLS on"),
        ("pop3", "starttls", ["+OK hi", *POP3_CAPA], "it does not offer STLS; switch TLS on"),
        ("managesieve", "starttls", SIEVE, "it does not offer STARTTLS; switch TLS on"),
        (
            "imap",
            "starttls",
            ["* OK", "?c", "* CAPABILITY STARTTLS", "c OK", "?s STARTTLS", "s NO never"],
            "it refused STARTTLS: 's NO never'",
        ),
        ("pop3", "starttls", ["+OK", "?CAPA", "+OK", "STLS", ".", "?STLS", "-ERR no"], "it refused STLS: '-ERR no'"),
        ("managesieve", "starttls", ['"STARTTLS"', "OK", "?STARTTLS", "NO"], "it refused STARTTLS: 'NO'"),
        ("imap", "implicit", ["* OK this is no TLS"], "no TLS: "),
        ("imap", "off", ["* OK", "?c CAPABILITY", *["* X"] * 300], "more than 200 lines in one answer"),
        ("imap", "off", ["* OK " + "x" * 20_000], "a line of more than 8192 bytes"),
    ],
)
def test_a_backend_that_is_not_as_configured_is_told_with_a_remedy(
    protocol: ProtocolName,
    tls: TlsMode,
    script: list[str],
    message: str,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    with pytest.raises(ProbeFailure) as caught:
        ask(protocol, tls, script, contexts)
    assert str(caught.value).startswith(message)


def test_a_certificate_that_is_not_believed_is_no_other_trouble(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    with pytest.raises(
        ProbeFailure, match=r"its certificate is not accepted: .*; look at ca_file and at the name 127\.0\.0\.1"
    ):
        ask("imap", "implicit", [STARTTLS], (contexts[0], backend_context(None, True)))


def test_a_backend_that_hangs_up_is_told_of(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        pretender = socket.create_connection(("127.0.0.1", port))
        listening.accept()[0].close()
        pretender.close()
    with pytest.raises(ProbeFailure, match="cannot be reached: Connection refused"):
        probe(Target("127.0.0.1", port, "imap", "off"), contexts[1])


def test_a_backend_that_accepts_and_hangs_is_given_up(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with pytest.raises(ProbeFailure, match=r"no answer within 0\.05 s"):
        ask("imap", "off", [], contexts, timeout=0.05)


def test_a_backend_that_closes_in_the_middle_is_told_of(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    class Closing(FakeBackend):
        def play(self, connection: socket.socket) -> None:
            connection.sendall(b"* OK hi\r\n")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass

    with (
        running(Closing([])) as backend,
        pytest.raises(ProbeFailure, match="it closed the connection; look at its log"),
    ):
        probe(Target("127.0.0.1", backend.port, "imap", "off", timeout=PATIENCE), contexts[1])


def test_a_name_that_does_not_resolve_is_told_of(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with pytest.raises(ProbeFailure, match="cannot be reached: "):
        probe(Target("mb1a.invalid", 143, "imap", "off"), contexts[1])


def test_the_header_for_our_own_connections_is_well_formed() -> None:
    assert len(PROXY_V2_LOCAL) == 16
    assert PROXY_V2_LOCAL[12:] == bytes((0x20, 0, 0, 0))

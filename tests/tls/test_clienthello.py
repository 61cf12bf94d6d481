"""A ClientHello is read exactly as OpenSSL writes it, and nothing else passes for one."""

import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tls.peers import anybody, client_hello
from tls import NotTls, client_hello_length, offered_alpn

HELLO = client_hello("mail.vestibule.example", ["imap", "http/1.1"])
NAMES = (b"imap", b"http/1.1")
SERVER_NAME, ALPN, OTHER = 0, 16, 43


def hello(*extensions: tuple[int, bytes], session_id: bytes = b"", ending: bytes | None = None) -> bytes:
    """A ClientHello made by hand; `ending` replaces the extensions with their length."""
    block = b"".join(kind.to_bytes(2) + len(data).to_bytes(2) + data for kind, data in extensions)
    body = b"\3\3" + bytes(32) + bytes([len(session_id)]) + session_id + b"\0\2\x13\1" + b"\1\0"
    body += len(block).to_bytes(2) + block if ending is None else ending
    return record(b"\1" + len(body).to_bytes(3) + body)


def record(fragment: bytes, kind: int = 22, version: bytes = b"\3\1") -> bytes:
    return bytes([kind]) + version + len(fragment).to_bytes(2) + fragment


def alpn(*names: bytes) -> bytes:
    """The body of an ALPN extension."""
    entries = b"".join(bytes([len(name)]) + name for name in names)
    return len(entries).to_bytes(2) + entries


def server_name(name: bytes) -> bytes:
    """The body of a server_name extension."""
    entry = b"\0" + len(name).to_bytes(2) + name
    return len(entry).to_bytes(2) + entry


# --- what clients send ---------------------------------------------------------------------------------------------


def test_the_names_come_in_the_clients_order() -> None:
    assert client_hello_length(HELLO) == len(HELLO)
    assert offered_alpn(HELLO) == NAMES


@pytest.mark.parametrize("name", [None, "mail.vestibule.example", "imap.example.org"])
def test_a_hello_without_alpn_offers_nothing(name: str | None) -> None:
    assert offered_alpn(client_hello(name)) == ()


def test_a_tls_1_2_client_is_understood() -> None:
    context = anybody()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["imap"])
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent).do_handshake()
    assert offered_alpn(sent.read()) == (b"imap",)


def test_a_hello_may_end_without_extensions() -> None:
    assert offered_alpn(hello(ending=b"")) == ()
    assert offered_alpn(hello()) == ()


def test_the_session_id_is_skipped() -> None:
    assert offered_alpn(hello((ALPN, alpn(b"pop3")), session_id=b"\x10" * 32)) == (b"pop3",)


def test_what_follows_the_record_is_not_read() -> None:
    assert offered_alpn(HELLO + b"\x17\3\3\0\1x") == NAMES


@given(st.lists(st.binary(min_size=1, max_size=255), max_size=5), st.binary(max_size=40))
def test_every_list_of_names_is_read_back(names: list[bytes], other: bytes) -> None:
    data = hello((OTHER, other), (SERVER_NAME, server_name(b"a.example")), (ALPN, alpn(*names)), (OTHER, other))
    assert offered_alpn(data) == tuple(names)


def test_the_minor_version_of_the_record_means_nothing() -> None:
    assert offered_alpn(HELLO[:2] + b"\xff" + HELLO[3:]) == NAMES


# --- what is no record ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x16\3\1\2",
        b"a1 LOGIN alice secret\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\x80\x2e\1\3\1",
        b"\x17\3\3\0\5",
        b"\x16\2\0\0\5",
        b"\x16\3\1\0\0",
        b"\x16\3\1\x40\1",
    ],
    ids=["nothing", "four bytes", "IMAP", "HTTP", "SSL 2", "data", "SSL 2.0", "empty record", "too long"],
)
def test_what_is_no_handshake_record_is_not_tls(data: bytes) -> None:
    with pytest.raises(NotTls):
        client_hello_length(data)
    with pytest.raises(NotTls):
        offered_alpn(data)


def test_the_longest_record_is_counted_with_its_header() -> None:
    assert client_hello_length(b"\x16\3\1\x40\0") == 5 + 2**14


# --- what is no ClientHello ----------------------------------------------------------------------------------------


def test_a_hello_cut_anywhere_is_not_tls() -> None:
    assert all(refusal(HELLO[:length]) for length in range(len(HELLO)))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (record(b"\2" + HELLO[6:]), "not one unfragmented ClientHello"),
        (record(HELLO[5:-1]), "not one unfragmented ClientHello"),
        (record(HELLO[5:] + b"\0"), "not one unfragmented ClientHello"),
        (record(b"\1\0\0\0"), "ends outside"),
        (record(b"\1\0\0"), "ends outside"),
        (hello(ending=b"\0"), "ends outside"),
        (hello(ending=b"\0\4\0\0"), "do not end with the ClientHello"),
        (hello(ending=b"\0\1\0"), "ends outside"),
        (hello(ending=b"\0\4\0\x2b\0\1"), "too long"),
        (hello((ALPN, b"")), "ends outside"),
        (hello((ALPN, b"\0\5\4ima")), "does not fill"),
        (hello((ALPN, alpn(b"imap")[:-1] + b"")), "does not fill"),
        (hello((ALPN, b"\0\4\4ima")), "empty or cut"),
        (hello((ALPN, alpn(b"imap", b""))), "empty or cut"),
        (hello((SERVER_NAME, server_name(b"im\xe4p.example"))), "not ASCII"),
    ],
)
def test_a_malformed_hello_is_not_tls(data: bytes, problem: str) -> None:
    with pytest.raises(NotTls, match=problem):
        offered_alpn(data)


def test_the_error_never_repeats_what_was_sent() -> None:
    with pytest.raises(NotTls) as caught:
        offered_alpn(b"a1 LOGIN alice secret\r\n")
    assert "secret" not in str(caught.value)


# --- what a stranger may try ---------------------------------------------------------------------------------------


def refusal(data: bytes) -> str:
    """Why the data is refused, "" if it is not; any exception but NotTls fails the test."""
    try:
        offered_alpn(data)
    except NotTls as error:
        return str(error)
    return ""


@given(st.binary(max_size=600))
def test_any_bytes_are_answered_or_refused(data: bytes) -> None:
    assert refusal(data) or data[0] == 22


@given(st.binary(max_size=600))
def test_any_handshake_message_is_answered_or_refused(data: bytes) -> None:
    refusal(record(data))
    refusal(record(b"\1" + len(data).to_bytes(3) + data))


@given(st.binary(max_size=300))
def test_any_extensions_are_answered_or_refused(data: bytes) -> None:
    refusal(hello(ending=len(data).to_bytes(2) + data))
    refusal(hello((ALPN, data)))
    refusal(hello((SERVER_NAME, data)))


@given(st.lists(st.tuples(st.integers(0, len(HELLO) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_of_what_openssl_accepts_only_a_strange_server_name_is_refused(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(HELLO)
    for position, value in changes:
        changed[position] = value
    problem = refusal(bytes(changed))
    assert not problem or "ASCII" in problem or not openssl_reads(bytes(changed))


def openssl_reads(data: bytes) -> bool:
    """True when OpenSSL takes the bytes for a ClientHello: it gets as far as looking for a certificate."""
    incoming = ssl.MemoryBIO()
    incoming.write(data)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)
    try:
        server.do_handshake()
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError as error:
        return error.reason == "NO_SHARED_CIPHER"
    return True

"""The classes of faults that broke systems like this one, each shown not to be here: one test for each class.

Classes that need a socket, TLS or a directory are tested where those are.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from proxy.protocols import sasl
from proxy.protocols.credentials import Attempt, judge
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.limits import Limits
from proxy.protocols.login import Order
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.origin import Origin
from proxy.protocols.preauth import Offer, Preauth
from proxy.protocols.proxyheader import BadHeader, Proxied, read_header
from proxy.protocols.secret import Secret
from proxy.protocols.wire import TlsFailure, WireFailure
from tests.transcripts.player import LOGINS, PREAUTHS

from .strategies import hold, kind_of
from .test_login import WatchedWire, log_in

CONTROLS = [bytes([code]) for code in (*range(32), 127)]
STARTTLS = {
    "imap": (b"a STARTTLS\r\n", b"b NOOP\r\n"),
    "pop3": (b"STLS\r\n", b"CAPA\r\n"),
    "managesieve": (b"STARTTLS\r\n", b'NOOP "x"\r\n'),
}
#: A backend that greets without TLS, its OK to STARTTLS, and replies as they would follow inside TLS.
BACKENDS = {
    "imap": (
        b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN SASL-IR ID] Hi\r\n",
        b"S OK\r\n",
        b"* OK [CAPABILITY IMAP4rev1]\r\nL OK\r\n",
    ),
    "pop3": (b"+OK [XCLIENT] Hi\r\n", b"+OK\r\n", b"+OK\r\n+OK\r\n+OK\r\n"),
    "managesieve": (
        b'"SASL" "PLAIN"\r\n"STARTTLS"\r\n"XCLIENT"\r\nOK\r\n',
        b"OK\r\n",
        b'"SASL" "PLAIN"\r\nOK\r\nOK\r\nOK\r\n',
    ),
}
ORDER = Order("alice", Secret(b"correct horse"), origin=Origin("192.0.2.1", 1, "203.0.113.7", 2, "abc", 6, tls=True))


class Stream(MemoryWire):
    """A client that sends without end; what it is told is counted and forgotten."""

    def __init__(self, source: Iterator[bytes]) -> None:
        super().__init__([], secure=True)
        self._source = source
        self.told = 0

    async def send(self, data: bytes) -> None:
        self.told += len(data)

    def _receive(self) -> None:
        self.consumed += 1
        self._inbox.feed(next(self._source))


def preauth(protocol: str, wire: MemoryWire, *, starttls: bool = False, trusted: bool = False) -> Preauth:
    offer = Offer(Limits(), mechanisms=tuple(sasl.MECHANISMS), starttls=starttls)
    return PREAUTHS[protocol](wire, offer, trusted=trusted)


def said(wire: MemoryWire) -> bytes:
    return b"".join(wire.sent)


def endless(lines: bytes) -> Iterator[bytes]:
    while True:
        yield lines


# STARTTLS and what is said in clear.


@pytest.mark.parametrize("protocol", STARTTLS)
def test_starttls_command_injection(protocol: str) -> None:
    """What comes behind STARTTLS, in one segment or split at any byte, is never answered, and TLS does not begin."""
    command, injected = STARTTLS[protocol]
    alone = MemoryWire([command])
    run(hold(preauth(protocol, alone, starttls=True), []))
    for split in range(1, len(command + injected)):
        data = command + injected
        wire = MemoryWire([data[:split], data[split:], None, injected])
        assert run(hold(preauth(protocol, wire, starttls=True), [])) == "TlsFailure"
        assert said(wire) == said(alone)
        assert not wire.secure


@pytest.mark.parametrize("protocol", BACKENDS)
def test_starttls_response_injection(protocol: str) -> None:
    """Replies that come before TLS do not count; those that come behind the OK end the conversation."""
    greeting, ok, injected = BACKENDS[protocol]
    wire = WatchedWire([greeting, ok + injected, None])
    with pytest.raises(TlsFailure):
        run(log_in(protocol, wire, ORDER, starttls=True))
    assert wire.in_clear.count(b"\r\n") == 1
    early = WatchedWire([greeting + injected, ok, None])
    with pytest.raises((WireFailure, Failure)):
        run(log_in(protocol, early, ORDER, starttls=True))
    assert early.in_clear.count(b"\r\n") <= 1


@pytest.mark.parametrize("protocol", BACKENDS)
def test_starttls_stripping(protocol: str) -> None:
    """A backend without STARTTLS is a matter of configuration, and not a byte of the credentials has been sent."""
    greeting = BACKENDS[protocol][0].replace(b" STARTTLS", b"").replace(b'"STARTTLS"\r\n', b"")
    wire = WatchedWire([greeting, b"-ERR What?\r\n"])
    assert kind_of(lambda: run(log_in(protocol, wire, ORDER, starttls=True))) is Kind.BACKEND_CONFIG
    assert wire.in_clear in (b"", b"STLS\r\n")


def test_preauth_greeting() -> None:
    wire = WatchedWire([b"* PREAUTH [CAPABILITY IMAP4rev1] Hello mallory\r\n"])
    assert kind_of(lambda: run(log_in("imap", wire, ORDER, starttls=True))) is Kind.BACKEND_CONFIG
    assert wire.in_clear == b""


@pytest.mark.parametrize("protocol", BACKENDS)
def test_client_data_and_credentials_before_tls_to_the_backend(protocol: str) -> None:
    greeting, ok, _ = BACKENDS[protocol]
    wire = WatchedWire([greeting, ok, None])
    with pytest.raises(WireFailure):
        run(log_in(protocol, wire, ORDER, starttls=True))
    assert wire.secure
    assert wire.in_clear in (b"S STARTTLS\r\n", b"STLS\r\n", b"STARTTLS\r\n")


@pytest.mark.parametrize("protocol", PREAUTHS)
def test_another_protocols_bytes(protocol: str) -> None:
    """HTTP gets a few lines, nothing of it back, and the end of the conversation."""
    request = b"POST /<script>alert(1)</script> HTTP/1.1\r\nHost: evil.example\r\nCookie: s3cr3t\r\n\r\n"
    wire = MemoryWire([request + b'<script>\r\nNOOP "<script>"\r\n'], secure=True)
    dialogue = preauth(protocol, wire)
    assert run(hold(dialogue, [])) == "ended"
    assert dialogue.refused is Kind.BAD_COMMANDS
    assert not any(word in said(wire) for word in (b"script", b"evil", b"s3cr3t", b"HTTP"))


# Parsers and memory.


def forms_of(value: bytes) -> dict[str, list[bytes]]:
    """Every way to write `value` as a user name in a login."""
    literal = b"{%d+}\r\n%b" % (len(value), value)
    plain, name = sasl.encode(b"\0%b\0secret" % value), sasl.encode(value)
    return {
        "imap": [
            b"a LOGIN %b secret\r\n" % value,
            b'a LOGIN "%b" secret\r\n' % value,
            b"a LOGIN %b secret\r\n" % literal,
            b"a AUTHENTICATE PLAIN %b\r\n" % plain,
            b"a AUTHENTICATE PLAIN\r\n%b\r\n" % plain,
            b"a AUTHENTICATE LOGIN %b\r\n%b\r\n" % (name, sasl.encode(b"secret")),
        ],
        "pop3": [
            b"USER %b\r\nPASS secret\r\n" % value,
            b"AUTH PLAIN %b\r\n" % plain,
            b"AUTH LOGIN\r\n%b\r\n%b\r\n" % (name, sasl.encode(b"secret")),
        ],
        "managesieve": [
            b'AUTHENTICATE "PLAIN" "%b"\r\n' % plain,
            b'AUTHENTICATE "PLAIN" {%d+}\r\n%b\r\n' % (len(plain), plain),
            b'AUTHENTICATE "LOGIN" "%b"\r\n"%b"\r\n' % (name, sasl.encode(b"secret")),
        ],
    }


async def next_attempt(protocol: str, text: bytes) -> Attempt | None:
    return await preauth(protocol, MemoryWire([text], secure=True)).attempt()


def accepted(protocol: str, text: bytes) -> str | None:
    """The user that a conversation logs in and `judge` lets pass, or None."""
    try:
        attempt = run(next_attempt(protocol, text))
        return None if attempt is None else judge(attempt).user
    except (Failure, WireFailure):
        return None


@pytest.mark.parametrize("protocol", PREAUTHS)
def test_nul_in_strings(protocol: str) -> None:
    """NUL at every position of every form: nobody is logged in, least of all who is named before the NUL."""
    for at in range(6):
        for text in forms_of(b"alice"[:at] + b"\0" + b"alice"[at:])[protocol]:
            assert accepted(protocol, text) is None
    assert all(accepted(protocol, text) == "alice" for text in forms_of(b"alice")[protocol])


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        ("imap", b"("),
        ("imap", b"a ID (" + b"(" * 4000),
        ("imap", b"x" * 4096),
        ("pop3", b"x" * 4096),
        ("managesieve", b"x" * 4096),
        ("imap", b"a LOGIN {4294967295+}\r\n"),
        ("managesieve", b"PUTSCRIPT {4294967295+}\r\n"),
        ("imap", b'a ID ("k" "v"' + b' "k" "v"' * 2000),
        ("imap", b"a LOGIN \xc3\xed\xa0\x80\r\n\xff\xf0\x9f\r\n" * 50),
        ("pop3", b"USER \xc3\xed\xa0\x80\r\nFOO\r\n"),
    ],
)
def test_memory_growth_of_one_command(protocol: str, data: bytes) -> None:
    """Who sends without end is read no further than the longest line, and told no more than a few lines."""
    wire = Stream(endless(data))
    assert run(hold(preauth(protocol, wire), [])) in ("ended", "Ended")
    limits = Limits()
    longest = limits.line + max(limits.sasl, limits.id_pairs * (limits.id_key + limits.id_value + 6))
    assert wire.consumed * len(data) <= longest + 2 * len(data)
    assert wire.told < 1000


@pytest.mark.parametrize(
    ("protocol", "exchange"),
    [
        ("imap", b"a AUTHENTICATE PLAIN\r\n*\r\n"),
        ("imap", b'a ID ("name" {4+}\r\nMutt)\r\n'),
        ("imap", b"a AUTHENTICATE XOAUTH2 =\r\n"),
        ("pop3", b"AUTH LOGIN\r\n*\r\n"),
        ("pop3", b"USER alice\r\n"),
        ("managesieve", b'AUTHENTICATE "PLAIN"\r\n"*"\r\n'),
        ("managesieve", b'NOOP "x"\r\n'),
    ],
)
def test_memory_growth_over_many_commands(protocol: str, exchange: bytes) -> None:
    """An exchange that may be repeated until the login's time is over leaves nothing behind."""

    def repeated(times: int) -> Iterator[bytes]:
        yield from (exchange for _ in range(times))
        sizes.append(measure())
        yield from (exchange for _ in range(times))
        sizes.append(measure())
        yield b"x" * 60_000

    def measure() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    sizes: list[int] = []
    tracemalloc.start()
    try:
        run(hold(preauth(protocol, Stream(repeated(300))), []))
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 10_000


@pytest.mark.parametrize("protocol", PREAUTHS)
@pytest.mark.parametrize(
    "name", [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\x80", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xfe\xff"]
)
def test_truncated_and_overlong_utf_8(protocol: str, name: bytes) -> None:
    """It is an authentication failure and nothing else."""
    assert all(accepted(protocol, text) is None for text in forms_of(b"alice" + name)[protocol])


def test_format_strings_and_odd_bytes_in_the_tag() -> None:
    for code in range(256):
        wire = MemoryWire([b"%%n%b NOOP\r\na%bb NOOP\r\n" % (bytes([code]), bytes([code]))], secure=True)
        run(hold(preauth("imap", wire), []))
        assert all(line.split(b" ")[0].isascii() for line in said(wire).split(b"\r\n"))
        assert b"%n" not in said(wire)


@pytest.mark.parametrize("size", [4095, 4096, 4097, 8192])
def test_silent_truncation(size: int) -> None:
    """A literal is taken as a whole up to the limit, and one byte more is refused as a whole."""
    password = b"x" * (size - 7) + b"b NOOP\r"
    attempt = run(next_attempt("imap", b"a LOGIN alice {%d+}\r\n%b\r\n" % (size, password)))
    assert attempt is not None
    assert attempt.secret.reveal() == password
    wire = MemoryWire([b"a LOGIN alice {8193+}\r\n" + b"b NOOP\r\n" * 1025], secure=True)
    assert run(hold(preauth("imap", wire), [])) == "ended"
    assert b"b OK" not in said(wire)


# Injection.


@pytest.mark.parametrize("protocol", PREAUTHS)
@pytest.mark.parametrize("control", CONTROLS)
def test_control_characters_into_the_backends_login(protocol: str, control: bytes) -> None:
    """Every byte 0 to 31 and 127, in name and password, through every form: it never gets as far as a backend."""
    for text in forms_of(b"ali%bce" % control)[protocol]:
        assert accepted(protocol, text) is None
        assert accepted(protocol, text.replace(b"secret", b"sec%bret" % control)) is None


@pytest.mark.parametrize("protocol", LOGINS)
def test_odd_names_and_passwords_into_the_backends_login(protocol: str) -> None:
    """Whatever passes `judge` becomes one login: as many lines as an ordinary one has, but for those of a literal."""
    greeting = {
        "imap": [b"* OK [CAPABILITY IMAP4rev1] Hi\r\n", b"L OK\r\n"],
        "pop3": [b"+OK\r\n", b"+OK\r\n", b"+OK\r\n"],
        "managesieve": [b'"SASL" "PLAIN"\r\nOK\r\n', b"OK\r\n"],
    }[protocol]
    expected = {"imap": 1, "pop3": 2, "managesieve": 1}[protocol]
    for odd in ('a"b', "a\\", "a b", "a{5}", "a{5+}", "a)(", "a*b%", "' or 1=1", "a\\r\\nb"):
        wire = MemoryWire(greeting, secure=True)
        run(log_in(protocol, wire, Order(odd, Secret(odd.encode())), starttls=False))
        assert said(wire).count(b"\r\n") == expected
        assert said(wire).count(b"\n") == said(wire).count(b"\r") == expected


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"PROXY TCP4 1.2.3.4\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 PROXY\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f" + bytes(12) + b"\x20\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x04" + bytes(4),
    ],
)
def test_proxy_header_spoofing_and_parsing(data: bytes) -> None:
    """A connection without a header, or with a wrong one, is dropped; LOCAL and UNSPEC name nobody."""
    with pytest.raises(BadHeader):
        run(read_header(MemoryWire([data])))
    for nobody in (b"\x20\x11\x00\x0c" + bytes(12), b"\x21\x00\x00\x00"):
        assert run(read_header(MemoryWire([b"\r\n\r\n\0\r\nQUIT\n" + nobody]))) == Proxied()


@pytest.mark.parametrize(
    ("protocol", "command"),
    [
        ("imap", b'a ID ("x-originating-ip" "1.2.3.4" "x-session-id" "abc" "x-proxy-ttl" "1")\r\n'),
        ("pop3", b"XCLIENT ADDR=1.2.3.4 SESSION=abc TTL=1\r\n"),
        ("pop3", b"XOIP 1.2.3.4\r\n"),
        ("managesieve", b"XCLIENT ADDR=1.2.3.4 SESSION=abc TTL=1\r\n"),
    ],
)
def test_id_and_xclient_spoofing_of_the_client_address(protocol: str, command: bytes) -> None:
    stranger = preauth(protocol, MemoryWire([command], secure=True))
    run(hold(stranger, []))
    assert stranger.hop is None
    trusted = preauth(protocol, MemoryWire([command], secure=True), trusted=True)
    run(hold(trusted, []))
    assert trusted.hop is not None
    assert trusted.hop.address == "1.2.3.4"


def for_the_log(protocol: str, text: bytes) -> str:
    """All that a login which fails says for the log."""
    try:
        attempt = run(next_attempt(protocol, text))
        return repr(judge(attempt).secret) if attempt is not None else ""
    except Failure as failure:
        return f"{failure} {failure!r} {failure.detail} {failure.code} {failure.text}"
    except WireFailure as failure:
        return f"{failure} {failure!r}"


@pytest.mark.parametrize("protocol", PREAUTHS)
def test_log_injection(protocol: str) -> None:
    """What a failure says for the log is printable and holds neither the name nor the password."""
    for name in (b"evil\n\x1b[2J", b'evil" status=ok', b"evil\xff", b"evil\0"):
        for text in forms_of(name)[protocol]:
            said_for_the_log = for_the_log(protocol, text)
            assert said_for_the_log.isprintable()
            assert "evil" not in said_for_the_log
            assert "secret" not in said_for_the_log


# Authentication.


@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        ("imap", b'a LOGIN alice ""\r\n'),
        ("imap", b"a LOGIN alice {0+}\r\n\r\n"),
        ("imap", b"a LOGIN alice {0}\r\n\r\n"),
        ("imap", b'a LOGIN alice "   "\r\n'),
        ("imap", b"a LOGIN alice {1+}\r\n\0\r\n"),
        ("imap", b"a AUTHENTICATE PLAIN " + sasl.encode(b"\0u\0") + b"\r\n"),
        ("imap", b"a AUTHENTICATE LOGIN dQ==\r\n\r\n"),
        ("pop3", b"USER alice\r\nPASS\r\n"),
        ("pop3", b"USER alice\r\nPASS  \r\n"),
        ("pop3", b"AUTH PLAIN " + sasl.encode(b"\0u\0") + b"\r\n"),
        ("managesieve", b'AUTHENTICATE "PLAIN" "' + sasl.encode(b"\0u\0 ") + b'"\r\n'),
    ],
)
def test_unauthenticated_bind(protocol: str, text: bytes) -> None:
    """An empty, blank or NUL password gets no further than `judge`."""
    assert accepted(protocol, text) is None


def test_user_name_normalisation() -> None:
    """Nothing is folded, cut or expanded here: one place does that, and it gets what was typed."""
    for name in ("UsEr", "ｕｓｅｒ", "user.", "user%00", "user*master", "%u", "user ", "user+box"):
        literal = b"a LOGIN {%d+}\r\n%b secret\r\n" % (len(name.encode()), name.encode())
        assert accepted("imap", literal) == name


def test_sasl_authzid_and_master_user() -> None:
    """Who asks to act for somebody else is never taken for having asked for themselves."""
    message = sasl.encode(b"bob\0alice\0secret")
    attempt = run(next_attempt("imap", b"a AUTHENTICATE PLAIN %b\r\n" % message))
    assert attempt is not None
    assert judge(attempt).authzid == "bob"
    order = Order("bob", Secret(b"secret"), master="vestibule")
    assert order.message() == b"bob\0vestibule\0secret"
    refused = MemoryWire([b"* OK [CAPABILITY IMAP4rev1] No SASL here\r\n"], secure=True)
    assert kind_of(lambda: run(log_in("imap", refused, order, starttls=False))) is Kind.BACKEND_CONFIG


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "OTP", "NTLM", "RPA", "CRAM-MD5"])
@pytest.mark.parametrize("protocol", PREAUTHS)
def test_faked_channel_binding_and_odd_mechanisms(protocol: str, mechanism: str) -> None:
    """They are neither announced nor accepted."""
    commands = {"imap": "a AUTHENTICATE {}\r\n", "pop3": "AUTH {}\r\n", "managesieve": 'AUTHENTICATE "{}"\r\n'}
    ask = {"imap": b"a CAPABILITY\r\n", "pop3": b"CAPA\r\n", "managesieve": b"CAPABILITY\r\n"}[protocol]
    wire = MemoryWire([ask, commands[protocol].format(mechanism).encode()], secure=True)
    dialogue = preauth(protocol, wire)
    run(hold(dialogue, []))
    assert dialogue.refused is Kind.UNSUPPORTED_MECHANISM
    assert mechanism.encode() not in said(wire)
    assert b"-PLUS" not in said(wire)


@pytest.mark.parametrize("protocol", PREAUTHS)
def test_user_enumeration(protocol: str) -> None:
    """Unknown user, wrong password and locked account are told in identical bytes."""
    told = set()
    for detail in ("unknown user", "wrong password", "locked"):
        wire = MemoryWire([], secure=True)
        run(preauth(protocol, wire).refuse(Failure(Kind.BAD_CREDENTIALS, detail), "PLAIN"))
        told.add(said(wire))
    assert len(told) == 1


@pytest.mark.parametrize("protocol", PREAUTHS)
def test_delays_and_guesses_as_a_resource(protocol: str) -> None:
    """Bad base64 and bad commands end the conversation after three; nobody keeps a connection busy with them."""
    bad = {"imap": b"a AUTHENTICATE PLAIN !", "pop3": b"AUTH PLAIN !", "managesieve": b'AUTHENTICATE "PLAIN" "!"'}
    wire = Stream(endless(bad[protocol] + b"\r\n"))
    assert run(hold(preauth(protocol, wire), [])) == "ended"
    assert wire.consumed == 3

"""Where a client is, as one proxy tells the next."""

from __future__ import annotations

import re
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols.origin import Hop, Origin, plain

from .strategies import MANY

ORIGIN = Origin("192.0.2.1", 40000, "203.0.113.7", 993, "abc+/=", 6, tls=True)


def test_it_is_written_as_dovecot_reads_it() -> None:
    assert ORIGIN.imap_id() == (
        b'("x-session-id" "abc+/=" "x-originating-ip" "192.0.2.1" "x-originating-port" "40000"'
        b' "x-connected-ip" "203.0.113.7" "x-connected-port" "993"'
        b' "x-proxy-ttl" "6" "x-client-transport" "TLS")'
    )
    assert ORIGIN._replace(tls=False).xclient() == (
        b"ADDR=192.0.2.1 PORT=40000 SESSION=abc+/= TTL=6 CLIENT-TRANSPORT=insecure DESTADDR=203.0.113.7 DESTPORT=993"
    )


def test_multiplexing_is_never_asked_for() -> None:
    assert b"x-multiplex" not in ORIGIN.imap_id()


@MANY
@given(
    st.ip_addresses().filter(lambda address: plain(address) == str(address)),
    st.integers(0, 65535),
    st.from_regex(r"[A-Za-z0-9+/=]{1,64}", fullmatch=True),
    st.integers(0, 255),
)
def test_what_we_write_is_read_as_it_was_meant(address: object, port: int, session: str, ttl: int) -> None:
    origin = Origin(str(address), port, "203.0.113.7", 993, session, ttl, tls=True)
    expected = Hop(str(address), port, session, ttl)
    assert Hop.from_xclient(origin.xclient().decode()) == expected
    words = re.findall(r'"([^"]*)"', origin.imap_id().decode())
    assert Hop.from_id(dict(zip(words[::2], words[1::2], strict=True))) == expected


@pytest.mark.parametrize(
    "text", ["", "ADDR", "ADDR=", "ADDR=x", "ADDR=1.2.3", "ADDR=01.2.3.4", "ADDR=fe80::1%eth0", "ADDR=1.2.3.4\r\nX"]
)
def test_an_address_that_is_none_is_left_out(text: str) -> None:
    assert Hop.from_xclient(text).address is None


@pytest.mark.parametrize("port", ["", "-1", "65536", "1e3", "999999", " 1", "1 ", "٣", "0x10"])
def test_a_port_that_is_none_is_left_out(port: str) -> None:
    assert Hop.from_id({"x-originating-port": port}).port is None


@pytest.mark.parametrize("session", ["", "a b", "a\n", 'a"', "a" * 65, "ü", "[UNAVAILABLE]", "a-b"])
def test_a_session_id_that_dovecot_would_not_take_is_left_out(session: str) -> None:
    assert Hop.from_id({"x-session-id": session}).session is None


@pytest.mark.parametrize("ttl", ["", "-1", "256", "x"])
def test_a_ttl_that_is_none_is_left_out(ttl: str) -> None:
    assert Hop.from_id({"x-proxy-ttl": ttl}).ttl is None


def test_an_ipv4_address_mapped_into_ipv6_is_written_as_what_it_is() -> None:
    assert plain(ip_address("::ffff:192.0.2.1")) == "192.0.2.1"
    assert plain(ip_address("192.0.2.1")) == "192.0.2.1"
    assert plain(ip_address("2001:DB8::0:1")) == "2001:db8::1"
    assert Hop.from_xclient("ADDR=::ffff:192.0.2.1").address == "192.0.2.1"


def test_names_are_read_in_any_case_and_the_last_of_a_repeated_one_counts() -> None:
    assert Hop.from_xclient("addr=1.2.3.4 ADDR=5.6.7.8 TTL=3") == Hop("5.6.7.8", None, None, 3)


@MANY
@given(st.text(max_size=60), st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=4))
def test_any_text_is_read_as_something_or_nothing(arguments: str, pairs: dict[str, str]) -> None:
    Hop.from_xclient(arguments)
    Hop.from_xclient(f"ADDR={arguments} PORT={arguments} SESSION={arguments} TTL={arguments}")
    Hop.from_id(pairs)

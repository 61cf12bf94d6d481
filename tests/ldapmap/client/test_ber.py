"""Elements: the same bytes as pyasn1's, and nothing but BerError for anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
from pyasn1.type import univ

from ldapmap.client.ber import (
    INTEGER,
    LENGTHS,
    OCTET_STRING,
    SEQUENCE,
    BerError,
    element,
    encode_length,
    expect,
    integer,
    number,
    octet_string,
    text,
    wrap,
)


@given(st.integers(0, 2**31 - 1))
def test_an_integer_is_encoded_as_pyasn1_does_and_read_back(value: int) -> None:
    encoded = integer(value)
    assert encoded == encoder.encode(univ.Integer(value))
    start, stop = expect(encoded, 0, len(encoded), INTEGER)
    assert number(encoded, start, stop) == value


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 2047, 2048, 65535, 65536, 2**24])
def test_a_string_of_any_length_is_encoded_as_pyasn1_does_and_read_back(size: int) -> None:
    encoded = octet_string(b"x" * size)
    assert encoded == encoder.encode(univ.OctetString(b"x" * size))
    assert expect(encoded, 0, len(encoded), OCTET_STRING) == (len(encoded) - size, len(encoded))


def test_lengths_have_their_shortest_form() -> None:
    assert encode_length(0) == b"\x00"
    assert encode_length(127) == b"\x7f"
    assert encode_length(128) == b"\x81\x80"
    assert encode_length(256) == b"\x82\x01\x00"


@given(st.integers(0, 2**32 - 1) | st.sampled_from([127, 128, 255, 256, 2047, 2048]))
def test_the_length_octets_of_any_size_can_be_had_and_few_are_kept(size: int) -> None:
    assert LENGTHS[size] == encode_length(size)
    assert len(LENGTHS) == 2048


@given(st.binary(max_size=40))
def test_any_bytes_are_an_element_as_pyasn1_reads_it_or_refused(data: bytes) -> None:
    try:
        tag, start, stop = element(data, 0, len(data))
    except BerError:
        return
    assert tag == data[0]
    assert 2 <= start <= stop <= len(data)
    if tag == OCTET_STRING:
        assert bytes(decoder.decode(data)[0]) == data[start:stop]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "before its length"),
        (b"\x04", "before its length"),
        (b"\x04\x02x", "longer than what encloses it"),
        (b"\x04\x80xx\0\0", "indefinite"),
        (b"\x04\x82\x01", "cut off"),
        (b"\x04\x85\x00\x00\x00\x00\x01x", "too long"),
        (b"\x04\x84\xff\xff\xff\xffx", "longer than what encloses it"),
        (b"\x1f\x02xx", "several octets"),
        (b"\x9f\x02xx", "several octets"),
    ],
)
def test_what_is_not_an_element_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(BerError, match=problem):
        element(data, 0, len(data))
    with pytest.raises(BerError):
        expect(data, 0, len(data), OCTET_STRING)


def test_an_element_may_have_a_longer_length_than_it_needs() -> None:
    assert element(b"\x04\x84\x00\x00\x00\x01x", 0, 7) == (OCTET_STRING, 6, 7)
    assert expect(b"\x04\x81\x01x", 0, 4, OCTET_STRING) == (3, 4)


def test_an_element_does_not_reach_into_what_follows_its_enclosure() -> None:
    data = wrap(b"\x30", b"\x04\x05ab") + b"cde"
    start, stop = expect(data, 0, len(data), SEQUENCE)
    with pytest.raises(BerError, match="encloses"):
        expect(data, start, stop, OCTET_STRING)


def test_another_tag_is_refused_and_named() -> None:
    with pytest.raises(BerError, match="0x04 where 0x02 belongs"):
        expect(b"\x04\x01x", 0, 3, INTEGER)


@pytest.mark.parametrize("content", [b"", b"\x00\x00\x00\x00\x01"])
def test_an_empty_or_too_large_number_is_refused(content: bytes) -> None:
    with pytest.raises(BerError, match="number"):
        number(content, 0, len(content))


def test_text_has_to_be_utf8() -> None:
    assert text("xé".encode(), 1, 3) == "é"
    with pytest.raises(BerError, match="UTF-8"):
        text(b"\xff", 0, 1)

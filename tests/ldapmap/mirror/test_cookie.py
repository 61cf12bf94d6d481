"""Cookies keep the latest change of every server."""

from hypothesis import given
from hypothesis import strategies as st

from ldapmap.mirror.cookie import merged


def csn(second: int, server: int) -> bytes:
    return b"202611210514%02d.133943Z#000000#%03x#000000" % (second, server)


def test_a_cookie_with_one_server_id_does_not_lose_the_others() -> None:
    old = b"rid=000,csn=" + csn(1, 1) + b";" + csn(2, 2) + b";" + csn(3, 3)
    new = b"rid=000,sid=002,csn=" + csn(9, 2)
    assert merged(old, new) == b"rid=000,sid=002,csn=" + csn(1, 1) + b";" + csn(9, 2) + b";" + csn(3, 3)


def test_an_older_number_does_not_replace_a_newer_one() -> None:
    assert merged(b"rid=000,csn=" + csn(5, 1), b"rid=001,csn=" + csn(4, 1)) == b"rid=001,csn=" + csn(5, 1)


def test_a_cookie_without_numbers_keeps_those_there_are() -> None:
    assert merged(b"rid=000,csn=" + csn(5, 1), b"rid=000") == b"rid=000,csn=" + csn(5, 1)
    assert merged(b"", b"rid=000") == b"rid=000"


def test_what_is_not_a_cookie_of_openldap_is_taken_as_it_is() -> None:
    ours = b"rid=000,csn=" + csn(5, 1)
    for foreign in (b"opaque", b"\x00\xff", b"rid=000,csn=tomorrow", b"csn=" + csn(5, 1), b"rid=000,what is this"):
        assert merged(ours, foreign) == foreign
        assert merged(foreign, ours) == ours


def test_there_are_only_so_many_servers() -> None:
    many = b"rid=000,csn=" + b";".join(csn(1, server) for server in range(4098))
    assert merged(b"", many) == many


@given(st.dictionaries(st.integers(0, 4095), st.integers(0, 59), min_size=1), st.data())
def test_of_every_server_the_latest_is_kept(old: dict[int, int], data: st.DataObject) -> None:
    new = data.draw(st.dictionaries(st.integers(0, 4095) | st.sampled_from(sorted(old)), st.integers(0, 59)))

    def cookie(seconds: dict[int, int]) -> bytes:
        return b"rid=000" + (b",csn=" if seconds else b"") + b";".join(csn(at, who) for who, at in seconds.items())

    latest = {who: max(old.get(who, 0), new.get(who, 0)) for who in sorted({*old, *new})}
    assert merged(cookie(old), cookie(new)) == cookie(latest)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_any_bytes_are_merged(old: bytes, new: bytes) -> None:
    assert isinstance(merged(old, new), bytes)

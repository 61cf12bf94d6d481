"""Where a Redis is, as operators write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from director.stores.settings import Place, RedisSettings, address_faults, place


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis.example", Place("", False, (("redis.example", 6379),), "", 0)),
        ("rediss://redis.example:7000/3", Place("", True, (("redis.example", 7000),), "", 3)),
        ("redis://[2001:db8::1]:7000/", Place("", False, (("2001:db8::1", 7000),), "", 0)),
        ("redis+sentinel://a,b:7/main", Place("+sentinel", False, (("a", 26379), ("b", 7)), "main", 0)),
        ("rediss+sentinel://a/main/2", Place("+sentinel", True, (("a", 26379),), "main", 2)),
        ("redis+cluster://a,b:7", Place("+cluster", False, (("a", 6379), ("b", 7)), "", 0)),
    ],
)
def test_a_url_says_where_it_is(url: str, expected: Place) -> None:
    assert place(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "http://a",
        "redis://",
        "redis://a:0",
        "redis://a:65536",
        "redis://a,b",
        "redis://a/main",
        "redis://a?db=1",
        "redis://a#1",
        "redis+sentinel://a",
        "redis+sentinel://a/main/two",
        "redis+cluster://a/1",
        "redis://a b",
    ],
)
def test_what_says_nothing_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="use redis://"):
        place(url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    (message,) = address_faults("redis://:secret@a")
    assert "password_file" in message
    assert "secret" not in message


def test_settings_without_fault_have_none(tmp_path: Path) -> None:
    whole = RedisSettings(
        url="rediss://a", username="u", password_file=tmp_path, certificate=tmp_path, key=tmp_path, prefix="v:1"
    )
    assert list(whole.faults()) == []


def test_what_is_half_is_a_fault(tmp_path: Path) -> None:
    half = RedisSettings(url="redis://a", username="u", certificate=tmp_path, prefix="a*")
    assert [key for key, _ in half.faults()] == ["prefix", "password_file", "key"]
    assert [key for key, _ in RedisSettings(url="redis://a", key=tmp_path).faults()] == ["certificate"]

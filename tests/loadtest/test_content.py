"""Messages that certify themselves."""

from __future__ import annotations

from collections import Counter
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.content import (
    LARGEST_FIRST,
    MOST_FIRST,
    SMALLEST_FIRST,
    Certificate,
    Recipe,
    certify,
    compose,
    first_mail,
    first_recipes,
    recipe_of,
    shard_of,
)

users = st.integers(0, 9_999_999).map(lambda number: f"user{number:07}")
serials = st.integers(0, 2**40)
sizes = st.integers(0, 3000) | st.integers(140_000, 320_000)
times = st.floats(0, 1e9)


@given(users, serials, sizes, times)
def test_a_message_has_its_size_and_says_what_it_is(user: str, serial: int, size: int, sent: float) -> None:
    raw = compose(user, serial, size, sent)
    assert len(raw) == max(size, len(compose(user, serial, 0, sent)))
    assert certify(raw) == Certificate(user, serial, sent, intact=True)
    assert recipe_of(raw) == Recipe(user, serial, len(raw), sent)
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert raw.endswith(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@given(users, serials, st.integers(450, 3000), st.data())
def test_a_body_that_was_changed_is_not_intact(user: str, serial: int, size: int, data: st.DataObject) -> None:
    raw = compose(user, serial, size)
    place = data.draw(st.integers(raw.index(b"\r\n\r\n") + 4, len(raw) - 1))
    changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
    for altered in (changed, raw[:place], raw + b"x"):
        certificate = certify(altered)
        assert certificate is not None
        assert not certificate.intact
        assert recipe_of(altered) is None


def test_equal_arguments_give_equal_bytes_and_others_do_not() -> None:
    assert compose("user0000001", 1, 5000, 2.5) == compose("user0000001", 1, 5000, 2.5)
    bodies = {compose(*of, 5000).partition(b"\r\n\r\n")[2] for of in (("a", 1), ("a", 2), ("b", 1))}
    assert len(bodies) == 3


def test_it_is_a_message_that_others_can_read() -> None:
    message = message_from_bytes(compose("user0000001", 5, 2000, 1.25))
    assert message["X-Loadtest-User"] == "user0000001"
    assert message["X-Loadtest-Serial"] == "5"
    assert message["X-Loadtest-Sent"] == "1.25"
    assert message["To"] == "<user0000001@example.org>"
    assert not message.defects


def test_lines_tempt_whoever_changes_mail_on_its_way() -> None:
    body = compose("user0000001", 1, 400_000)
    assert b"\r\n.\r\n" in body
    assert b"\r\nFrom here on\r\n" in body


def test_what_servers_put_in_front_does_no_harm() -> None:
    raw = b"Return-Path: <a@b>\r\nReceived: from x\r\n\tby y\r\n" + compose("user0000001", 1, 1000)
    assert certify(raw) == Certificate("user0000001", 1, 0.0, intact=True)
    assert recipe_of(raw) is None


def test_mail_of_others_is_none_of_ours() -> None:
    assert certify(b"") is None
    assert certify(b"Subject: x\r\n\r\nX-Loadtest-User: in the body\r\n") is None
    assert recipe_of(b"Subject: x\r\n\r\n") is None


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (b"X-Loadtest-Serial: 1", Certificate("user0000001", -1, 0.0, intact=False)),
        (b"X-Loadtest-Sent: 0.0", Certificate("user0000001", -1, 0.0, intact=False)),
        (b"X-Loadtest-Digest: ", Certificate("user0000001", 1, 0.0, intact=False)),
    ],
)
def test_a_damaged_header_is_seen(field: bytes, found: Certificate) -> None:
    assert certify(compose("user0000001", 1, 1000).replace(field, b"X-Other: y")) == found


def test_a_message_of_somebody_else_is_not_intact() -> None:
    stolen = compose("user0000001", 1, 1000).replace(b"X-Loadtest-User: user0000001", b"X-Loadtest-User: user0000002")
    assert certify(stolen) == Certificate("user0000002", 1, 0.0, intact=False)


def test_mailboxes_begin_with_few_small_messages_and_some_with_many_or_large_ones() -> None:
    mailboxes = [first_recipes(f"user{number:07}") for number in range(3000)]
    counts = Counter(map(len, mailboxes))
    assert set(counts) == set(range(1, MOST_FIRST + 1))
    assert counts[1] > sum(counts.values()) / 3
    every = [recipe.size for mailbox in mailboxes for recipe in mailbox]
    assert SMALLEST_FIRST <= min(every) < 800
    assert 50_000 < max(every) <= LARGEST_FIRST


def test_the_first_mail_is_numbered_and_the_same_every_time() -> None:
    mail = first_mail("user0000011")
    assert mail == first_mail("user0000011")
    certificates = [certify(message) for message in mail]
    expected = [Certificate("user0000011", serial, 0.0, intact=True) for serial in range(1, len(mail) + 1)]
    assert certificates == expected


def test_users_are_shared_out_evenly_and_always_alike() -> None:
    shards = ("s1", "s2", "s3")
    found = Counter(shard_of(f"user{number:07}", shards) for number in range(3000))
    assert set(found) == set(shards)
    assert min(found.values()) > 900
    assert shard_of("user0000001", shards) == shard_of("user0000001", list(shards))

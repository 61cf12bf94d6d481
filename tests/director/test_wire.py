"""What workers and the director say to each other arrives as it was said, however it is cut into pieces."""

from __future__ import annotations

import struct
from contextlib import suppress
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from director import wire
from director.wire import (
    MAX_FRAME,
    MAX_MESSAGES,
    Announce,
    Announced,
    Assign,
    Attempt,
    BadFrame,
    Catalogue,
    Connected,
    Embargo,
    Failed,
    FromWorker,
    Grant,
    Hello,
    Kick,
    Passed,
    Place,
    Refuse,
    Release,
    Report,
    ToWorker,
    Unframer,
    Wait,
    Wary,
    Welcome,
    frames,
    from_worker,
    to_worker,
)

numbers = st.integers(0, 2**63 - 1)
texts = st.text(max_size=30)
times = st.floats(0, 2**40)

said: st.SearchStrategy[FromWorker] = st.one_of(
    st.builds(Hello, numbers, texts, numbers),
    st.builds(Announce, numbers, texts, texts, texts, numbers, texts, texts, texts, times),
    st.just(Announced()),
    st.builds(Assign, numbers, texts, texts, texts, texts, texts, texts, texts, times),
    st.builds(Release, numbers),
    st.builds(Report, texts, texts, st.sampled_from(("connect", "login")), st.booleans()),
    st.builds(Connected, texts),
    st.builds(Attempt, numbers, texts, texts),
    st.builds(Failed, numbers, texts, texts),
    st.builds(Passed, texts, texts),
)
answered: st.SearchStrategy[ToWorker] = st.one_of(
    st.builds(Welcome, numbers, texts),
    st.builds(Catalogue, st.lists(st.builds(Place, texts, texts, st.dictionaries(texts, numbers, max_size=3)))),
    st.builds(Grant, numbers, texts, texts, texts, numbers),
    st.builds(Refuse, numbers, st.sampled_from(("no_shard", "limit_user")), texts, times),
    st.builds(Kick, numbers, texts, st.booleans()),
    st.builds(Wait, numbers, times),
    st.builds(Wary, texts, texts, times),
    st.builds(Embargo, texts, times),
)


def bodies(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bodies of all frames in data that comes in pieces, cut at these places."""
    unframer = Unframer()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [body for start, end in pairwise(places) for body in unframer.feed(data[start:end])]


@given(st.lists(st.lists(said, max_size=4), max_size=4), st.lists(st.integers(0, 400), max_size=10))
def test_what_workers_say_arrives_however_it_is_cut(batches: list[list[FromWorker]], cuts: list[int]) -> None:
    data = b"".join(frames(batch) for batch in batches)
    assert [from_worker(body) for body in bodies(data, cuts)] == batches


@given(st.lists(answered, max_size=6))
def test_what_the_director_says_arrives_byte_by_byte(messages: list[ToWorker]) -> None:
    data = frames(messages)
    (body,) = bodies(data, list(range(len(data))))
    assert to_worker(body) == messages


def test_more_messages_than_a_frame_holds_are_said_in_several() -> None:
    messages = [Release(number) for number in range(MAX_MESSAGES + 1)]
    first, second = bodies(frames(messages), [])
    assert len(from_worker(first)) == MAX_MESSAGES
    assert from_worker(second) == [Release(MAX_MESSAGES)]


def test_long_messages_are_spread_over_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_FRAME", 100)
    messages = [Connected("x" * 60), Connected("y" * 60), Connected("z")]
    read = bodies(frames(messages), [])
    assert len(read) == 2
    assert [message for body in read for message in from_worker(body)] == messages


def test_a_message_that_fits_no_frame_is_an_error() -> None:
    with pytest.raises(ValueError, match="too long"):
        frames([Connected("x" * MAX_FRAME)])


def test_a_frame_that_is_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(BadFrame, match="a frame of"):
        Unframer().feed(struct.pack("!I", MAX_FRAME + 1))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode("hello"),
        msgspec.msgpack.encode([[99, 1]]),
        msgspec.msgpack.encode([[5, "one"]]),
        msgspec.msgpack.encode([[5]]),
        msgspec.msgpack.encode([[6, "a", "u", "half way", True]]),
        msgspec.msgpack.encode([[7, b"\xff"]]),
    ],
)
def test_what_is_not_in_the_protocol_is_refused_by_both_sides(body: bytes) -> None:
    with pytest.raises(BadFrame, match="words of a worker"):
        from_worker(body)
    with pytest.raises(BadFrame, match="words of a director"):
        to_worker(body)


@given(st.binary(max_size=200))
def test_nonsense_is_refused_and_nothing_worse(body: bytes) -> None:
    for read in (from_worker, to_worker):
        with suppress(BadFrame):
            assert isinstance(read(body), list)


def test_a_worker_does_not_speak_as_the_director() -> None:
    (body,) = bodies(frames([Welcome(1, "n0/1")]), [])
    with pytest.raises(BadFrame):
        from_worker(body)

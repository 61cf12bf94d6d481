"""Shards that the directory names: what is read, what is refused, and that a bad entry harms no other shard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director import BackendSettings, ShardSettings
from director.entries import MOST_BACKENDS, BadEntry, EntryFault, ShardEntries, merge, read_shard
from director.shards import shard_faults
from tests.director.examples import shard_settings


def stored(*backends: str | dict[str, Any]) -> str:
    """An entry as the mirror keeps it; a name alone is the host, too."""
    told = [{"name": each, "host": each} if isinstance(each, str) else each for each in backends]
    return json.dumps({"name": "any", "backends": told})


def names(entries: ShardEntries) -> dict[str, list[str]]:
    return {shard.name: [backend.name for backend in shard.backends] for shard in entries.shards.all}


def test_everything_that_an_entry_says_is_read() -> None:
    said = {
        "name": "mb1a",
        "host": "mb1a.example",
        "priority": 2,
        "weight": 3,
        "site": "x",
        "ports": {"imap": 143},
    }
    backend = BackendSettings(name="mb1a", host="mb1a.example", priority=2, weight=3, site="x", ports={"imap": 143})
    assert read_shard("s1", stored(said)) == ShardSettings(name="s1", backend=(backend,))


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("", "cannot be read: Input data was truncated"),
        ("{}", "cannot be read: Object missing required field `backends`"),
        ('{"backends": [{"name": 1, "host": "x"}]}', r"cannot be read: Expected `str`, got `int` - at `\$.backends"),
        ('{"backends": ["\ud800"]}', "cannot be read"),
        (stored(), "^backend: is missing; a shard needs at least one backend$"),
        (stored({"name": "mb1", "host": "mb1.example:143"}), "^'mb1': host: 'mb1.example:143' is neither a host name"),
        (
            stored({"name": "mb1", "host": "x", "ports": {"imaps": 993}}),
            "^'mb1': ports.imaps: is no protocol",
        ),
        (stored({"name": "mb1", "host": "x", "ports": {"imap": 0}}), "'mb1': ports.imap: 0 is no port"),
        (stored({"name": "mb1", "host": "x", "priority": -1}), "^'mb1': priority: -1 is not from 0 to 1000$"),
        (stored({"name": "mb1", "host": "x", "weight": 0}), "^'mb1': weight: 0 is not from 1 to 1000$"),
        (stored({"name": "mb1", "host": "x", "site": "s" * 256}), "^'mb1': site: is longer than 255 characters$"),
        (stored({"name": "m" * 256, "host": "x"}), "name: is longer than 255 characters"),
        (stored({"name": "mb1", "host": "x"}, {"name": "MB1", "host": "y"}), "backend: 2 backends are called 'mb1'"),
        (stored({"name": "a", "host": "?"}, {"name": "b", "host": "?"}), "'a': host: .*; 'b': host: "),
    ],
)
def test_an_entry_that_cannot_be_used_says_why(entry: str, fault: str) -> None:
    with pytest.raises(BadEntry, match=fault):
        read_shard("s1", entry)


def test_a_shards_own_name_is_judged_too() -> None:
    with pytest.raises(BadEntry, match="name: is longer than 255 characters"):
        read_shard("s" * 256, stored("mb1"))


@given(st.text() | st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner)).map(json.dumps))
def test_whatever_an_entry_is_reading_it_ends_in_a_shard_or_in_a_fault(entry: str) -> None:
    with pytest.raises(BadEntry):
        read_shard("s1", entry)


def test_shards_of_file_and_directory_are_all_the_shards() -> None:
    merged = merge([shard_settings("s1", mb1=1)], [shard_settings("s2", mb2=1)])
    assert [shard.name for shard in merged.shards.all] == ["s1", "s2"]
    assert list(merged.used) == ["s2"]
    assert merged.faults == ()


def test_a_shard_of_the_file_goes_before_an_entry_of_the_same_name() -> None:
    merged = merge([shard_settings("s1", mb1=1)], [shard_settings("S1.", mb9=1)])
    assert merged.shards.find("mb9") is None
    assert merged.faults == (EntryFault("S1.", "is in the configuration file, too, which goes first"),)


def test_an_entry_does_not_get_a_name_that_stands_for_another_shard() -> None:
    merged = merge([shard_settings("s1", mb1=1)], [shard_settings("s2", mb1=1), shard_settings("s3", mb3=1)])
    assert [shard.name for shard in merged.shards.all] == ["s1", "s3"]
    assert merged.faults == (EntryFault("s2", "'mb1' stands for another shard; give every backend a name of its own"),)


def test_an_entry_called_like_the_host_of_another_shard_is_left_out() -> None:
    merged = merge([shard_settings("s1", mb1=1)], [shard_settings("mb1.example", mb2=1)])
    assert [shard.name for shard in merged.shards.all] == ["s1"]
    assert "is also the name of another shard" in merged.faults[0].text


def test_shards_may_share_a_host() -> None:
    shared = [
        ShardSettings(name=f"s{number}", backend=(BackendSettings(name=f"b{number}", host="mb.example"),))
        for number in range(3)
    ]
    assert merge(shared[:1], shared[1:]).faults == ()


def test_entries_that_name_too_many_backends_are_left_out() -> None:
    backends = {f"mb{number}": 1 for number in range(MOST_BACKENDS)}
    merged = merge([], [shard_settings("s1", **backends), shard_settings("s2", one=1)])
    assert list(merged.used) == ["s1"]
    assert merged.faults == (EntryFault("s2", "is left out: all entries together name more than 5000 backends"),)


def test_shards_follow_their_entries() -> None:
    entries = ShardEntries([shard_settings("s1", mb1=1)])
    assert names(entries) == {"s1": ["mb1"]}
    assert entries.update({"s2": stored("mb2")})
    before = entries.shards
    assert not entries.update({"s2": stored("mb2")})
    assert entries.shards is before
    assert entries.update({"s2": stored("mb2", "mb3"), "s3": stored("mb4")})
    assert names(entries) == {"s1": ["mb1"], "s2": ["mb2", "mb3"], "s3": ["mb4"]}
    assert entries.update({})
    assert names(entries) == {"s1": ["mb1"]}
    assert entries.shards.find("mb2") is None


def test_an_entry_that_becomes_unusable_leaves_its_shard_as_it_was() -> None:
    entries = ShardEntries([])
    entries.update({"s1": stored("mb1"), "s2": stored("mb2")})
    assert entries.update({"s1": stored({"name": "mb1", "host": "?"}), "s2": stored("mb3"), "s3": "nonsense"})
    assert names(entries) == {"s1": ["mb1"], "s2": ["mb3"]}
    assert [fault.shard for fault in entries.faults] == ["s1", "s3"]
    assert not entries.update({"s1": stored("mb1"), "s2": stored("mb3")})
    assert entries.faults == ()


def test_a_new_entry_cannot_push_out_another_by_claiming_its_name() -> None:
    entries = ShardEntries([])
    entries.update({"s5": stored("mb5")})
    assert not entries.update({"s1": stored("mb5"), "s5": stored("mb5")})
    assert names(entries) == {"s5": ["mb5"]}
    assert [fault.shard for fault in entries.faults] == ["s1"]


def test_a_backend_goes_from_one_shard_to_another_when_both_entries_say_so() -> None:
    for giver, taker in (("s1", "s2"), ("s2", "s1")):
        entries = ShardEntries([])
        entries.update({giver: stored("a", "b"), taker: stored("c")})
        assert not entries.update({giver: stored("a", "b"), taker: stored("b", "c")})
        assert [fault.shard for fault in entries.faults] == [taker]
        assert entries.update({giver: stored("a"), taker: stored("b", "c")})
        assert names(entries) == {giver: ["a"], taker: ["b", "c"]}
        assert entries.faults == ()


def test_one_who_has_to_stay_as_it_was_takes_its_names_back() -> None:
    """s1 has taken what s2 gives up, but s2 cannot have what it wants instead: both stay, and s3 gets what it asks."""
    entries = ShardEntries([shard_settings("s0", mb0=1)])
    entries.update({"s1": stored("a"), "s2": stored("b")})
    assert entries.update({"s1": stored("a", "b"), "s2": stored("mb0"), "s3": stored("c")})
    assert names(entries) == {"s0": ["mb0"], "s1": ["a"], "s2": ["b"], "s3": ["c"]}
    assert [fault.shard for fault in entries.faults] == ["s1", "s2"]


def test_what_was_refused_only_for_the_sake_of_a_change_that_was_taken_back_is_no_fault() -> None:
    entries = ShardEntries([shard_settings("s0", mb0=1)])
    entries.update({"s1": stored("a")})
    assert entries.update({"s1": stored("x", "mb0"), "s2": stored("x")})
    assert names(entries) == {"s0": ["mb0"], "s1": ["a"], "s2": ["x"]}
    assert [fault.shard for fault in entries.faults] == ["s1"]


some_names = st.lists(st.sampled_from("abcdef"), max_size=3, unique=True)
some_entries = st.dictionaries(st.sampled_from(["a", "s1", "s2", "s3", "f0"]), some_names.map(lambda b: stored(*b)))


@given(st.lists(some_entries, max_size=6))
def test_shards_are_never_ambiguous_and_none_vanishes_while_its_entry_is_there(history: list[dict[str, str]]) -> None:
    entries, before = ShardEntries([shard_settings("f0", f=1)]), set[str]()
    for entry in history:
        entries.update(entry)
        now = {shard.name for shard in entries.shards.all}
        settings = [
            ShardSettings(name=one.name, backend=tuple(BackendSettings(name=b.name, host=b.host) for b in one.backends))
            for one in entries.shards.all
        ]
        assert list(shard_faults(settings)) == []
        assert before & set(entry) <= now <= {"f0", *entry}
        assert set(entry) - now <= {fault.shard for fault in entries.faults}
        before = now

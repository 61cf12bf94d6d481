"""What a directory entry says stands for one shard, or for none."""

import pytest

from director import Backend, BackendSettings, Shard, Shards, ShardSettings, shard_faults
from tests.director.examples import shard, shard_settings

PAIRS = (shard_settings("s1", mb1a=1, mb1b=2), shard_settings("s2", mb2a=1, mb2b=2))


def on(host: str, shard_name: str, *names: str) -> ShardSettings:
    """A shard with backends on different ports of one host."""
    return ShardSettings(
        name=shard_name,
        backend=tuple(BackendSettings(name=name, host=host, ports={"imap": 1143}) for name in names),
    )


@pytest.mark.parametrize("value", ["s1", "S1", "s1.", "mb1a", "mb1b", "MB1A.Example", "mb1b.example", "mb1b.example."])
def test_a_shard_is_found_by_its_name_and_by_its_backends(value: str) -> None:
    found = Shards(PAIRS).find(value)
    assert found is not None
    assert found.name == "s1"


@pytest.mark.parametrize("value", ["", ".", "s3", "mb1a.example.org", "127.0.0.1", "s1..", " s1"])
def test_what_is_not_configured_is_not_found(value: str) -> None:
    assert Shards(PAIRS).find(value) is None


def test_all_shards_are_listed_in_the_order_of_the_configuration() -> None:
    shards = Shards(PAIRS)
    assert [shard.name for shard in shards.all] == ["s1", "s2"]
    assert shards.find("s2") is shards.all[1]


def test_backends_are_as_configured() -> None:
    settings = BackendSettings(name="mb1", host="mb1.example", ports={"imap": 1143}, priority=3, weight=7)
    (found,) = Shards([ShardSettings(name="s1", backend=(settings,))]).all[0].backends
    assert found == Backend("mb1", "mb1.example", {"imap": 1143}, 3, 7)
    assert hash(found) == hash(Backend("mb1", "mb1.example", {}, 3, 7))


def test_a_host_shared_by_two_shards_stands_for_neither() -> None:
    shards = Shards([on("127.0.0.1", "s1", "mb1"), on("127.0.0.1", "s2", "mb2"), on("192.0.2.1", "s3", "a", "b")])
    assert shards.find("127.0.0.1") is None
    assert shards.find("mb2") is shards.find("s2") is shards.all[1]
    assert shards.find("192.0.2.1") is shards.all[2]


def test_tiers_are_the_backends_by_priority() -> None:
    tiers = shard("s1", c=2, a=1, d=3, b=1).tiers
    assert [[backend.name for backend in tier] for tier in tiers] == [["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize("value", ["a", "A", "a.example", "A.EXAMPLE."])
def test_a_backend_is_found_by_name_or_host(value: str) -> None:
    pair = shard("s1", a=1, b=2)
    assert pair.find(value) is pair.backends[0]


def test_a_host_with_two_backends_of_the_shard_stands_for_neither() -> None:
    both = Shard("s1", (Backend("a", "mb.example"), Backend("b", "mb.example")))
    assert both.find("mb.example") is None
    assert both.find("b") is both.backends[1]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ((shard_settings("s1", a=1), shard_settings("S1", b=1)), "1.name"),
        ((shard_settings("s1", a=1), shard_settings("s2", b=1, A=1)), "1.backend.1.name"),
        ((shard_settings("s1", a=1, s2=1), shard_settings("s2", b=1)), "0.backend.1.name"),
        ((shard_settings("s1", a=1), on("S1.", "s2", "b")), "1.backend.0.host"),
        ((on("b", "s1", "a"), shard_settings("s2", b=1)), "0.backend.0.host"),
    ],
    ids=["shard and shard", "backend and backend", "backend and shard", "host and shard", "host and backend"],
)
def test_a_name_that_could_mean_two_shards_is_a_fault(settings: tuple[ShardSettings, ...], key: str) -> None:
    assert [found for found, _ in shard_faults(settings)] == [key]
    with pytest.raises(ValueError, match=key):
        Shards(settings)


def test_names_may_repeat_within_a_shard() -> None:
    assert list(shard_faults([on("s1", "s1", "s1"), on("mb2", "s2", "mb2")])) == []

"""Changes that a copy sees at once, after a while, or never."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from loadtest.following import ChangeLost, await_shard, burst, delays, lookup_cost
from loadtest.people import uid


class Copy:
    """A directory and its copy, which sees a change when it has been looked at `late` times."""

    def __init__(self, late: int) -> None:
        self._late = late
        self._shards: dict[str, str] = {}
        self._looks: dict[str, int] = {}
        self.changed: list[str] = []

    def replace(self, dn: str, attribute: str, value: str) -> None:
        assert attribute == "mailHost"
        user = dn.partition(",")[0].removeprefix("uid=")
        self.changed.append(user)
        self._shards[user], self._looks[user] = value, 0

    def replace_all(self, changes: Iterable[tuple[str, str, str]]) -> None:
        for change in changes:
            self.replace(*change)

    def shard_of(self, user: str) -> str | None:
        self._looks[user] = self._looks.get(user, 0) + 1
        return self._shards.get(user) if self._looks[user] > self._late else None


@pytest.mark.parametrize("late", [0, 3])
def test_users_move_one_after_the_other(late: int) -> None:
    copy = Copy(late)
    found = delays(copy, copy.shard_of, [1, 5, 3], "new")
    assert copy.changed == [uid(1), uid(5), uid(3)]
    assert len(found) == 3
    assert min(found) > 0


@pytest.mark.parametrize("late", [0, 3])
def test_a_burst_is_over_when_the_last_is_seen(late: int) -> None:
    copy = Copy(late)
    answered, seen = burst(copy, copy.shard_of, range(10), "new")
    assert copy.changed == [uid(number) for number in range(10)]
    assert answered >= 0
    assert seen >= 0


def test_a_change_that_is_never_seen_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.following.PATIENCE", 0.0)
    with pytest.raises(ChangeLost, match=uid(7)):
        await_shard(lambda name: "old", [7], "new")


def test_lookups_are_of_users_who_are_there() -> None:
    assert lookup_cost(lambda name: "s1", ["alice", "bob"]) >= 0
    with pytest.raises(ChangeLost, match="alice"):
        lookup_cost(lambda name: None, ["alice"])

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.scale.plan import Plan
from loadtest.scale.room import Room, problems, this_room

ENOUGH = Room(descriptors=20_000, files=2_000_000, memory=24 * 2**30, ports=28_232, tracked=None, processors=2)
LARGE = Plan(workers=7, processes=4)


def test_fifty_thousand_sessions_fit_into_an_ordinary_machine() -> None:
    assert list(problems(LARGE, ENOUGH)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"descriptors": 10_000}, "--workers 14"),
        ({"descriptors": 1_000}, "raise ulimit -n"),
        ({"files": 100_000}, "fs.file-max"),
        ({"memory": 2**30}, "smaller --steps"),
        ({"ports": 1_000}, "ip_local_port_range"),
        ({"tracked": 50_000}, "nf_conntrack_max"),
    ],
)
def test_what_is_too_little_is_told_with_its_remedy(change: dict[str, int], said: str) -> None:
    assert any(said in problem for problem in problems(LARGE, replace(ENOUGH, **change)))


def test_this_machine_has_room_for_a_few() -> None:
    room = this_room()
    assert list(problems(Plan(steps=(1,), workers=room.processors), room)) == []
    assert room.ports > 0

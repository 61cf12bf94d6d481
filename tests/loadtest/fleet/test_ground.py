from __future__ import annotations

import os

from loadtest.fleet.ground import Ground, sources


def test_our_own_ground_has_every_protocol_and_tells_who_runs(ground: Ground) -> None:
    assert set(ground.target.ports) == {"imap", "pop3", "managesieve"}
    assert ground.target.known
    assert ground.shards == {"s1a": "s1", "s1b": "s1"}
    assert "vestibule" in ground.pids
    for pid in ground.pids.values():
        os.kill(pid, 0)


def test_orders_that_are_refused_are_told(ground: Ground) -> None:
    ground.order("drain", "nobody", "--yes")
    said = ground.refused_orders()
    assert len(said) == 1
    assert "nobody" in said[0]
    assert ground.refused_orders() == []


def test_many_sessions_come_from_many_addresses() -> None:
    assert sources(1) == 16
    assert sources(50_000) == 1000
    assert sources(10_000_000) == 10_000

"""What a lease says of itself."""

from __future__ import annotations

from director.lease import Lease
from director.shards import Backend
from director.wire import Announce


def test_a_lease_announces_itself_without_what_only_its_worker_needs() -> None:
    lease = Lease(
        5, "alice", Backend("mb1a", "h"), "s1", "hash", 7, "192.0.2.7", "imap", "abc", 1e9, None, kicked="moved"
    )
    assert lease.announcement() == Announce(5, "alice", "mb1a", "s1", 7, "192.0.2.7", "imap", "abc", 1e9)


def test_leases_are_themselves_and_no_others() -> None:
    one, other = (Lease(1, "a", Backend("b", "h"), "s", "hash", 1, "", "imap", "", 0.0, None) for _ in range(2))
    assert one != other
    assert {one, other} == {other, one}

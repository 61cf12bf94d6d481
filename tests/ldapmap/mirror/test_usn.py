"""Update sequence numbers: what changed is told once, and never is something missed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapmap.client.messages import FoundEntry
from ldapmap.errors import Misconfigured
from ldapmap.mirror.controller import introduce
from ldapmap.mirror.usn import Position, UsnChanges, id_of
from tests.ldapmap.mirror.domain import CONTEXT, Domain


async def changes_of(domain: Domain) -> UsnChanges:
    connection = domain.connection()
    return UsnChanges(connection, await introduce(connection, "", 1.0), 1.0)


async def told(changes: UsnChanges) -> set[bytes]:
    return {entry_id async for ids in changes.changed() for entry_id in ids}


async def test_what_changed_is_told_once() -> None:
    domain = Domain()
    alice, bob = domain.user("alice"), domain.user("bob")
    changes = await changes_of(domain)
    assert not await changes.resume(b"")
    await changes.begin()
    assert await told(changes) == set()
    domain.set(alice, mailHost="s2")
    domain.delete(bob)
    carol = domain.user("carol")
    assert await told(changes) == {alice.entry_id, bob.entry_id, carol.entry_id}
    assert await told(changes) == set()


async def test_while_nothing_changes_nothing_is_searched() -> None:
    domain = Domain()
    changes = await changes_of(domain)
    await changes.begin()
    domain.asked.clear()
    assert await told(changes) == set()
    assert [question.base for question in domain.asked] == [""]


async def test_what_is_committed_during_the_search_is_told_the_next_time() -> None:
    domain = Domain()
    alice, bob = domain.user("alice"), domain.user("bob")
    changes = await changes_of(domain)
    await changes.begin()
    domain.touch(alice)
    ids = set()
    async for page in changes.changed():
        ids.update(page)
        domain.touch(bob)
    assert alice.entry_id in ids
    assert bob.entry_id in await told(changes)


async def test_a_saved_position_is_gone_on_from() -> None:
    domain = Domain()
    alice = domain.user("alice")
    changes = await changes_of(domain)
    await changes.begin()
    saved = changes.position
    domain.touch(alice)
    again = await changes_of(domain)
    assert await again.resume(saved)
    assert await told(again) == {alice.entry_id}
    assert again.position != saved


async def test_a_position_of_another_database_or_after_a_rollback_is_not() -> None:
    domain = Domain()
    changes = await changes_of(domain)
    await changes.begin()
    saved = changes.position
    restored = await changes_of(domain)
    domain.usn -= 1
    assert not await restored.resume(saved)
    domain.usn += 1
    domain.invocation = b"x" * 16
    assert not await (await changes_of(domain)).resume(saved)


async def test_numbers_that_go_back_under_way_end_the_visit() -> None:
    domain = Domain()
    changes = await changes_of(domain)
    await changes.begin()
    domain.usn -= 1
    with pytest.raises(Misconfigured, match="gone back"):
        await told(changes)


async def test_that_deletions_are_hidden_is_told() -> None:
    domain = Domain()
    changes = await changes_of(domain)
    await changes.resume(b"")
    assert not changes.warning
    domain.hidden = True
    await changes.resume(b"")
    assert "deleted objects" in changes.warning


@given(st.text(max_size=50), st.binary(min_size=16, max_size=16), st.integers(0, 2**63))
def test_a_position_is_saved_and_read(service: str, invocation: bytes, usn: int) -> None:
    position = Position(service, invocation, usn)
    assert Position.decode(position.encode()) == position


@given(st.binary(max_size=60) | st.sampled_from([b"[1,2]", b'["x","zz",1]', b'["x","00",Infinity]', b"[" * 4096]))
def test_whatever_else_was_saved_is_a_position_or_none(saved: bytes) -> None:
    position = Position.decode(saved)
    assert position is None or isinstance(position, Position)


def test_an_id_has_sixteen_bytes() -> None:
    assert id_of(FoundEntry(1, CONTEXT, {b"objectguid": [b"x" * 16]})) == [b"x" * 16]
    assert id_of(FoundEntry(1, CONTEXT, {b"objectguid": [b"x"]})) == []
    assert id_of(FoundEntry(1, CONTEXT, {})) == []

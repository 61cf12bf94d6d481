"""DirSync: what changed in the domain, by a cookie that every controller understands."""

import pytest

from ldapmap.client.ber import BerError
from ldapmap.errors import Misconfigured, ServerFault, Unavailable
from ldapmap.mirror.controller import introduce
from ldapmap.mirror.dirsync import MARKS, DirSyncChanges
from tests.ldapmap.mirror.domain import Domain


async def changes_of(domain: Domain) -> DirSyncChanges:
    connection = domain.connection()
    return DirSyncChanges(connection, await introduce(connection, "", 1.0), ["uid", "MAILHOST", "mailHost"])


async def told(changes: DirSyncChanges) -> set[bytes]:
    return {entry_id async for ids in changes.changed() for entry_id in ids}


async def test_what_changed_is_told_once_however_many_answers_it_takes() -> None:
    domain = Domain()
    users = [domain.user(f"user{number}") for number in range(8)]
    changes = await changes_of(domain)
    assert not await changes.resume(b"")
    await changes.begin()
    assert await told(changes) == set()
    for user in users:
        domain.touch(user)
    assert await told(changes) == {user.entry_id for user in users}
    assert await told(changes) == set()


async def test_what_changed_before_a_saved_cookie_was_resumed_is_told() -> None:
    domain = Domain()
    alice = domain.user("alice")
    changes = await changes_of(domain)
    await changes.begin()
    domain.touch(alice)
    again = await changes_of(domain)
    assert await again.resume(changes.position)
    assert await told(again) == {alice.entry_id}
    assert await told(again) == set()


async def test_each_attribute_is_asked_for_once_and_with_them_what_tells_moves_and_deletions() -> None:
    domain = Domain()
    await (await changes_of(domain)).begin()
    assert domain.asked[-1].attributes == ("uid", "mailHost", *MARKS)


async def test_without_the_right_it_is_said_which_one_is_needed() -> None:
    domain = Domain()
    domain.replication_allowed = False
    changes = await changes_of(domain)
    assert not await changes.resume(b"1")
    with pytest.raises(Misconfigured, match="Replicating Directory Changes"):
        await changes.begin()


async def test_a_cookie_that_is_not_understood_is_no_cookie_but_a_lost_connection_is_an_error() -> None:
    domain = Domain()
    changes = await changes_of(domain)
    domain.broken = Unavailable("search: protocolError (2)")
    assert not await changes.resume(b"1")
    domain.broken = ServerFault("the connection was lost")
    with pytest.raises(ServerFault):
        await changes.resume(b"1")


async def test_an_answer_without_the_control_is_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = Domain()
    changes = await changes_of(domain)
    connection = changes._connection

    async def bare(*_: object) -> dict[bytes, bytes]:
        return {}

    monkeypatch.setattr(connection, "ask", bare)
    with pytest.raises(BerError):  # the connection proper makes a ServerFault of it
        await changes.begin()

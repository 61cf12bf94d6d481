"""Who answers, how far its database has got, and what we may see there."""

import pytest

from ldapmap.client.filters import Present
from ldapmap.errors import Misconfigured
from ldapmap.mirror.controller import EVERY, Controller, comparable, highest_usn, introduce, sees_deleted, within
from tests.ldapmap.mirror.domain import CONTEXT, PEOPLE, SERVICE, Domain


async def test_a_controller_says_who_it_is() -> None:
    domain = Domain()
    assert await introduce(domain.connection(), "", 1.0) == Controller(SERVICE, domain.invocation, CONTEXT)
    assert (await introduce(domain.connection(), "dc=EXAMPLE, dc=test", 1.0)).context == CONTEXT
    assert await highest_usn(domain.connection(), 1.0) == domain.usn
    assert Present(b"objectClass") == EVERY


async def test_a_context_that_is_not_there_is_told() -> None:
    with pytest.raises(Misconfigured, match="no naming context 'DC=other'"):
        await introduce(Domain().connection(), "DC=other", 1.0)


async def test_a_server_that_is_no_controller_is_told() -> None:
    domain = Domain()
    domain.service = ""
    with pytest.raises(Misconfigured, match="no domain controller"):
        await introduce(domain.connection(), "", 1.0)


async def test_a_controller_that_hides_the_id_of_its_database_is_of_no_use() -> None:
    domain = Domain()
    domain.invocation = b""
    with pytest.raises(Misconfigured, match="invocationId"):
        await introduce(domain.connection(), "", 1.0)


async def test_a_server_without_a_root_or_numbers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = Domain()
    domain.usn = "many"  # type: ignore[assignment]
    with pytest.raises(Misconfigured, match="highestCommittedUSN"):
        await highest_usn(domain.connection(), 1.0)
    monkeypatch.setattr(domain, "answer", lambda question, deleted: [])
    with pytest.raises(Misconfigured, match="root DSE"):
        await highest_usn(domain.connection(), 1.0)


async def test_whether_deleted_entries_are_shown_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = Domain()
    assert await sees_deleted(domain.connection(), CONTEXT)
    domain.hidden = True
    assert not await sees_deleted(domain.connection(), CONTEXT)
    domain.broken = Misconfigured("search: noSuchObject (32)")
    assert not await sees_deleted(domain.connection(), CONTEXT)


def test_a_dn_is_within_itself_and_whatever_is_above_it() -> None:
    assert comparable("OU=People, DC=x") == "ou=people,dc=x"
    assert within(PEOPLE, CONTEXT)
    assert within(PEOPLE.upper(), PEOPLE)
    assert not within(CONTEXT, PEOPLE)
    assert not within("OU=morepeople,DC=x", "OU=people,DC=x")

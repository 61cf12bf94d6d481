"""Long answers: pages, controls, and what a server must not do, over real sockets."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from ldapmap.client.address import parse_address
from ldapmap.client.ber import BerError, integer, octet_string, wrap
from ldapmap.client.connection import Identity, Target, open_connection
from ldapmap.client.deadlines import Deadlines
from ldapmap.client.filters import Present
from ldapmap.client.messages import SEARCH_DONE
from ldapmap.errors import Misconfigured, ServerFault, Unavailable
from ldapmap.mirror.controls import PAGED_RESULTS, Question, next_page, show_deleted
from ldapmap.mirror.listing import PAGE, ListingConnection
from tests.ldapmap.fake import BIND, SEARCH, Conversation, FakeServer, Request, Script, bind_result, entry, fake_server
from tests.ldapmap.fake import result as answer

QUESTION = Question("dc=x", "subtree", Present(b"objectClass"), ("uid",))


@contextlib.asynccontextmanager
async def connected(script: Script, seconds: float = 5.0) -> AsyncIterator[tuple[FakeServer, ListingConnection]]:
    async with fake_server(script) as server:
        target = Target(
            address=parse_address(server.url),
            context=None,
            starttls=False,
            connect_timeout=5.0,
            message_limit=1 << 20,
            search_outstanding=1,
            queue_limit=1,
        )
        deadlines = Deadlines(seconds)
        connection = await open_connection(ListingConnection, target, deadlines, Identity(b"cn=service", b"secret"))
        try:
            yield server, connection
        finally:
            connection.close()
            deadlines.close()


def serving(*pages: list[str], code: int = 0, control: bytes | None = None) -> Script:
    """Each search is answered with the next page; all but the last say that there are more."""
    left = list(pages)

    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == BIND:
            conversation.send(bind_result(request, 0, controls=paged(b"")))
        elif request.kind == SEARCH:
            names = left.pop(0) if left else []
            conversation.send(*(entry(request, f"uid={name}", uid=name.encode()) for name in names))
            attached = paged(b"more" if left else b"") if control is None else control
            conversation.send(answer(request, SEARCH_DONE, code, controls=attached))

    return script


def paged(cookie: bytes) -> bytes:
    value = wrap(b"\x30", integer(0) + octet_string(cookie))
    return wrap(b"\xa0", wrap(b"\x30", octet_string(PAGED_RESULTS) + octet_string(value)))


async def test_all_pages_are_read() -> None:
    async with connected(serving(["a", "b"], [], ["c"])) as (server, connection):
        pages = [[each.dn for each in page] async for page in connection.pages(QUESTION, [show_deleted()])]
        assert pages == [["uid=a", "uid=b"], [], ["uid=c"]]
        searches = server.of_kind(SEARCH)
        assert [b"\x04\x04more" in each for each in searches] == [False, True, True]
        assert all(show_deleted() in each for each in searches)


async def test_a_server_that_knows_no_pages_sends_everything_at_once() -> None:
    async with connected(serving(["a"], control=b"")) as (_, connection):
        assert [len(page) async for page in connection.pages(QUESTION)] == [1]


async def test_a_search_that_ends_badly_is_told_and_the_connection_goes_on() -> None:
    for code, kind in ((32, Misconfigured), (4, Unavailable), (51, ServerFault)):
        async with connected(serving(["a"], ["b"], code=code)) as (_, connection):
            with pytest.raises(kind):
                await anext(connection.pages(QUESTION))
            assert not connection.closed


async def test_more_entries_than_a_page_has_are_a_fault_of_the_server() -> None:
    async with connected(serving(["x"] * (PAGE + 1))) as (_, connection):
        with pytest.raises(ServerFault, match="more entries"):
            await anext(connection.pages(QUESTION))
        assert connection.closed


async def test_a_page_control_that_cannot_be_read_is_a_fault_of_the_server() -> None:
    strange = wrap(b"\xa0", wrap(b"\x30", octet_string(PAGED_RESULTS) + octet_string(b"\x30\x00")))
    async with connected(serving(["a"], control=strange)) as (_, connection):
        with pytest.raises(ServerFault, match="garbage"):
            async for _page in connection.pages(QUESTION):
                pass
        assert connection.closed
        with pytest.raises(BerError):
            next_page(b"\x30\x00")


async def test_the_one_entry_of_a_search_is_returned_or_none() -> None:
    async with connected(serving(["a"], [], ["b", "c"])) as (_, connection):
        first = await connection.first(QUESTION, 5.0)
        assert first is not None
        assert first.dn == "uid=a"
        assert await connection.first(QUESTION, 5.0) is None
        with pytest.raises(ServerFault, match="more entries"):
            await connection.first(QUESTION, 5.0)


async def silent(request: Request, conversation: Conversation) -> None:
    if request.kind == BIND:
        conversation.send(bind_result(request, 0))


async def test_a_server_that_hangs_is_left() -> None:
    async with connected(silent) as (_, connection):
        with pytest.raises(ServerFault, match="no answer within"):
            await connection.first(QUESTION, 0.02)
        assert connection.closed
    async with connected(silent, 0.02) as (_, connection):
        with pytest.raises(ServerFault):
            await connection.ask(QUESTION, lambda _: None)
        assert connection.closed


async def test_entries_that_nobody_asked_for_are_passed_over() -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        await silent(request, conversation)
        if request.kind == SEARCH:
            other = Request(0, request.message_id + 7, SEARCH, b"")
            conversation.send(entry(other, "uid=stray", uid=b"stray"), answer(request, SEARCH_DONE, 0))

    async with connected(script) as (_, connection):
        assert await connection.first(QUESTION, 5.0) is None

"""One connection: TLS that is what it claims to be, and operations that end."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ldapmap.client.address import parse_address
from ldapmap.client.connection import (
    BindConnection,
    Connection,
    Identity,
    Late,
    SearchConnection,
    Silent,
    Target,
    open_connection,
)
from ldapmap.client.deadlines import Deadlines
from ldapmap.client.messages import BaseProbe
from ldapmap.errors import Misconfigured, ServerFault
from tests.ldapmap import oracle
from tests.ldapmap.fake import (
    EXTENDED,
    UNBIND,
    Conversation,
    FakeServer,
    Request,
    extended_result,
    fake_server,
    ordinary,
    search_done,
)
from tls import CertificateFiles, ThrowawayAuthority, backend_context

PROBE = BaseProbe("dc=x")


@pytest.fixture(scope="module")
def authority() -> ThrowawayAuthority:
    return ThrowawayAuthority()


@pytest.fixture
def trusting(authority: ThrowawayAuthority, tmp_path: Path) -> ssl.SSLContext:
    return backend_context(authority.write_ca(tmp_path / "ca.pem"), True)


def serving(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    return context


@pytest.fixture
def ours(authority: ThrowawayAuthority, tmp_path: Path) -> ssl.SSLContext:
    return serving(authority.issue(tmp_path, "server", dns=["ldap.example"], ips=["127.0.0.1"]))


@pytest.fixture
async def deadlines() -> AsyncIterator[Deadlines]:
    deadlines = Deadlines(5.0)
    yield deadlines
    deadlines.close()


def target(url: str, context: ssl.SSLContext | None = None, **changes: Any) -> Target:
    settings: dict[str, Any] = {
        "address": parse_address(url),
        "context": context,
        "starttls": False,
        "connect_timeout": 5.0,
        "message_limit": 4096,
        "search_outstanding": 2,
        "queue_limit": 2,
        **changes,
    }
    return Target(**settings)


@contextlib.asynccontextmanager
async def connected(
    server: FakeServer, deadlines: Deadlines, context: ssl.SSLContext | None = None, **changes: Any
) -> AsyncIterator[SearchConnection]:
    connection = await open_connection(SearchConnection, target(server.url, context, **changes), deadlines)
    try:
        yield connection
    finally:
        connection.close()


async def silent(request: Request, conversation: Conversation) -> None:
    """Answers nothing."""


# --- TLS ---


async def test_ldaps_is_verified_by_address_and_chain(
    trusting: ssl.SSLContext, ours: ssl.SSLContext, deadlines: Deadlines
) -> None:
    async with fake_server(ordinary, context=ours) as server, connected(server, deadlines, trusting) as connection:
        result, _ = await connection.search(PROBE, b"")
        assert result.code == 0


def wrong_name(authority: ThrowawayAuthority, at: Path) -> CertificateFiles:
    return authority.issue(at, "other", dns=["other.example"], ips=["192.0.2.1"])


def name_only_in_subject(authority: ThrowawayAuthority, at: Path) -> CertificateFiles:
    return authority.issue(at, "subject", common_name="127.0.0.1")


def expired(authority: ThrowawayAuthority, at: Path) -> CertificateFiles:
    return authority.issue(at, "old", ips=["127.0.0.1"], not_after=datetime.now(UTC) - timedelta(minutes=5))


def another_authority(authority: ThrowawayAuthority, at: Path) -> CertificateFiles:
    return ThrowawayAuthority("somebody else").issue(at, "strange", ips=["127.0.0.1"])


@pytest.mark.parametrize("starttls", [False, True])
@pytest.mark.parametrize("issue", [wrong_name, name_only_in_subject, expired, another_authority])
async def test_a_certificate_that_is_not_the_servers_is_refused_before_anything_is_said(
    authority: ThrowawayAuthority,
    trusting: ssl.SSLContext,
    deadlines: Deadlines,
    tmp_path: Path,
    issue: Callable[[ThrowawayAuthority, Path], CertificateFiles],
    starttls: bool,
) -> None:
    context = serving(issue(authority, tmp_path))
    script = tls_after(context)
    identity = Identity(b"cn=service", b"service secret")
    async with fake_server(script, context=None if starttls else context) as server:
        where = target(server.url, trusting, starttls=starttls)
        with pytest.raises(ServerFault, match="certificate verify failed"):
            await open_connection(SearchConnection, where, deadlines, identity)
        assert [request.kind for request in server.requests] == ([EXTENDED] if starttls else [])


def tls_after(context: ssl.SSLContext, before: bytes = b"", behind: bytes = b"") -> Callable[..., Any]:
    """A server that starts TLS when asked, and says something else in front of or behind its answer."""

    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind != EXTENDED:
            return await ordinary(request, conversation)
        conversation.send(before, extended_result(request, 0) + behind)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await conversation.writer.start_tls(context)
        return None

    return script


async def test_starttls_is_asked_for_first_and_then_everything_is_inside(
    trusting: ssl.SSLContext, ours: ssl.SSLContext, deadlines: Deadlines
) -> None:
    async with (
        fake_server(tls_after(ours)) as server,
        connected(server, deadlines, trusting, starttls=True) as connection,
    ):
        assert server.requests[0].raw == oracle.start_tls_request(1)
        result, _ = await connection.search(PROBE, b"")
        assert result.code == 0


@pytest.mark.parametrize("behind", [b"\x30", b"\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00"])
async def test_what_a_server_says_between_starttls_and_tls_is_a_fault(
    trusting: ssl.SSLContext, ours: ssl.SSLContext, deadlines: Deadlines, behind: bytes
) -> None:
    async with fake_server(tls_after(ours, behind=behind)) as server:
        with pytest.raises(ServerFault):
            await open_connection(SearchConnection, target(server.url, trusting, starttls=True), deadlines)
        assert len(server.requests) == 1


async def test_a_server_without_starttls_is_not_used_without_it(trusting: ssl.SSLContext, deadlines: Deadlines) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        conversation.send(extended_result(request, 2, "unsupported"))

    identity = Identity(b"cn=service", b"service secret")
    async with fake_server(script) as server:
        with pytest.raises(Misconfigured, match=r"StartTLS: protocolError \(2\): unsupported"):
            await open_connection(SearchConnection, target(server.url, trusting, starttls=True), deadlines, identity)
        assert b"secret" not in b"".join(request.raw for request in server.requests)


# --- opening ---


async def test_nobody_listening_is_a_fault_that_names_the_server(deadlines: Deadlines) -> None:
    async with fake_server(ordinary) as server:
        url = server.url
    with pytest.raises(ServerFault, match=url):
        await open_connection(BindConnection, target(url), deadlines)
    with pytest.raises(ServerFault, match="ldapi:///nowhere"):
        await open_connection(BindConnection, target("ldapi://%2Fnowhere%2Fldapi"), deadlines)


@pytest.mark.parametrize(("scheme", "starttls"), [("ldap", False), ("ldap", True), ("ldaps", False)])
async def test_a_server_that_accepts_and_says_nothing_is_given_up(
    trusting: ssl.SSLContext, deadlines: Deadlines, scheme: str, starttls: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
        where = target(url, trusting, starttls=starttls, connect_timeout=0.05)
        with pytest.raises(ServerFault, match=r"not usable within 0\.05 s"):
            await open_connection(SearchConnection, where, deadlines, Identity(b"cn=s", b"x"))


async def test_giving_up_while_connecting_leaves_no_connection_behind(deadlines: Deadlines) -> None:
    async with fake_server(silent) as server:
        opening = open_connection(SearchConnection, target(server.url), deadlines, Identity(b"cn=s", b"x"))
        task = asyncio.ensure_future(opening)
        await server.seen(lambda server: bool(server.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await server.conversations[0].writer.wait_closed()


def test_an_identity_does_not_print_its_password() -> None:
    assert "secret" not in repr(Identity(b"cn=service", b"secret"))


# --- operations ---


async def test_a_connection_with_searches_in_progress_is_never_bound(deadlines: Deadlines) -> None:
    async with fake_server(silent) as server, connected(server, deadlines) as connection:
        search = asyncio.ensure_future(connection.search(PROBE, b""))
        await server.seen(lambda server: bool(server.requests))
        with pytest.raises(RuntimeError, match="abandon"):
            await connection.bind(b"cn=x", b"x")
        search.cancel()


async def test_every_search_in_progress_hears_of_a_lost_connection(deadlines: Deadlines) -> None:
    async with fake_server(silent) as server, connected(server, deadlines) as connection:
        searches = [asyncio.ensure_future(connection.search(PROBE, b"")) for _ in range(4)]
        await server.seen(lambda server: len(server.requests) == 4)
        server.conversations[0].close()
        for search in searches:
            with pytest.raises(ServerFault) as fault:
                await search
            assert fault.value.again
        assert connection.closed
        with pytest.raises(ServerFault):
            await connection.search(PROBE, b"")


async def test_an_answer_that_is_late_is_told_from_a_server_that_is_silent() -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if len(server.requests) == 2:
            conversation.send(search_done(request))

    short = Deadlines(0.05)
    async with fake_server(script) as server, connected(server, short) as connection:
        late = asyncio.ensure_future(connection.search(PROBE, b""))
        await server.seen(lambda server: len(server.requests) == 1)
        await connection.search(PROBE, b"")
        with pytest.raises(Late):
            await late
        assert not connection.closed
        with pytest.raises(Silent):
            await connection.search(PROBE, b"")
        assert connection.closed
    short.close()


async def test_closing_says_goodbye_and_ends_what_is_in_progress(deadlines: Deadlines) -> None:
    async with fake_server(silent) as server, connected(server, deadlines) as connection:
        search = asyncio.ensure_future(connection.search(PROBE, b""))
        await server.seen(lambda server: bool(server.requests))
        connection.close()
        connection.close()
        with pytest.raises(ServerFault, match="closed by us"):
            await search
        await server.seen(lambda server: bool(server.of_kind(UNBIND)))
        assert server.requests[-1].raw == oracle.unbind_request(server.requests[-1].message_id)


async def test_message_numbers_begin_anew_after_the_largest(deadlines: Deadlines) -> None:
    async with fake_server(ordinary) as server, connected(server, deadlines) as connection:
        connection._last_id = 2**31 - 2
        for _ in range(2):
            await connection.search(PROBE, b"")
        assert [request.message_id for request in server.requests] == [2**31 - 1, 1]


async def test_a_connection_that_was_never_made_can_be_given_up(deadlines: Deadlines) -> None:
    connection = Connection(target("ldap://127.0.0.1"), deadlines)
    connection.abort("never needed")
    connection.close()
    assert connection.closed


async def test_an_answer_that_nobody_asked_for_is_passed_over(deadlines: Deadlines) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        stranger = Request(0, 4711, 0, b"")
        conversation.send(search_done(stranger), search_done(request), search_done(request))

    async with fake_server(script) as server, connected(server, deadlines) as connection:
        for _ in range(3):
            result, entries = await connection.search(PROBE, b"")
            assert (result.code, entries) == (0, [])

"""Logins against scripted servers: what is sent, what answers mean, and what no fault may lead to."""

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Any

import pytest

from ldapmap.client.ber import integer, octet_string, wrap
from ldapmap.client.messages import SEARCH_DONE
from ldapmap.entries import Entry
from ldapmap.errors import (
    AccountLocked,
    AmbiguousUser,
    DirectoryError,
    EmptyPassword,
    InvalidName,
    Misconfigured,
    NoRoute,
    PasswordExpired,
    ServerFault,
    Unavailable,
    UnknownUser,
    WrongPassword,
)
from ldapmap.ldap import LdapDirectory
from ldapmap.policy import Policy
from ldapmap.sections import DomainSettings, RuleSettings
from ldapmap.settings import Attributes, DirectorySettings, NameRules
from tests.ldapmap import oracle
from tests.ldapmap.conftest import OpenDirectory
from tests.ldapmap.fake import (
    ABANDON,
    ALICE,
    BIND,
    SEARCH,
    Conversation,
    Request,
    bind_result,
    entry,
    fake_server,
    farewell,
    ordinary,
    result,
    search_done,
)

USER = Entry("alice", ALICE, "s1")


def is_probe(request: Request) -> bool:
    """The search of the base entry that tells whether a server answers."""
    return request.kind == SEARCH and b"\x04\x031.1" in request


# --- what is sent ---


async def test_a_login_is_a_search_as_the_service_and_a_bind_as_the_user_elsewhere(directory_on: OpenDirectory) -> None:
    async with fake_server(ordinary) as server, directory_on(server) as directory:
        assert directory.healthy
        found = await directory.find("Alice")
        assert found == USER
        await directory.verify(found, b"secret")
        service, search, bind = (server.requests[0], server.requests[-2], server.requests[-1])
        assert service.raw == oracle.bind_request(service.message_id, "cn=service", b"service secret")
        assert search.raw == oracle.search_request(
            search.message_id, "dc=x", "subtree", "(uid=alice)", ["uid", "mailHost"], 2
        )
        assert bind.raw == oracle.bind_request(bind.message_id, ALICE, b"secret")
        assert search.connection == service.connection != bind.connection


async def test_connections_are_kept(directory_on: OpenDirectory) -> None:
    async with fake_server(ordinary) as server, directory_on(server) as directory:
        for _ in range(5):
            await directory.verify(await directory.find("alice"), b"secret")
        assert len(server.conversations) == 2


async def test_without_an_identity_searches_are_anonymous_and_nothing_is_bound(directory_on: OpenDirectory) -> None:
    async with (
        fake_server(ordinary) as server,
        directory_on(server, bind_dn="", bind_password_file=None) as directory,
    ):
        await directory.find("alice")
        assert server.of_kind(BIND) == []


async def test_base_scope_filter_and_attributes_are_as_configured(directory_on: OpenDirectory) -> None:
    settings: dict[str, Any] = {
        "base": "ou=p,dc=x",
        "scope": "one",
        "filter": "(status=active)",
        "attributes": Attributes(user="mail", shard="host", preferred="replica", login="uid"),
        "names": NameRules(domain="add", default_domain="example.org"),
    }
    async with fake_server(ordinary) as server, directory_on(server, **settings) as directory:
        with pytest.raises(UnknownUser):
            await directory.find("alice")
        search = server.requests[-1]
        condition = "(&(status=active)(mail=alice@example.org))"
        wanted = ["mail", "host", "replica", "uid"]
        assert search.raw == oracle.search_request(search.message_id, "ou=p,dc=x", "one", condition, wanted, 2)


@pytest.mark.parametrize(
    ("typed", "escaped"),
    [
        ("*", r"\2a"),
        (")(uid=*", r"\29\28uid=\2a"),
        ("alice)(|(uid=*", r"alice\29\28|\28uid=\2a"),
        (r"\2a", r"\5c2a"),
        (r"\00", r"\5c00"),
        ('a# , "=;<>', 'a# , "=;<>'),
        ("user%00", "user%00"),
        ("user*master", r"user\2amaster"),
        ("é", r"\c3\a9"),
    ],
)
async def test_no_typed_name_changes_the_shape_of_the_search(
    directory_on: OpenDirectory, typed: str, escaped: str
) -> None:
    async with fake_server(ordinary) as server, directory_on(server) as directory:
        with pytest.raises(UnknownUser):
            await directory.find(typed)
        search = server.requests[-1]
        assert search.raw == oracle.search_request(
            search.message_id, "dc=x", "subtree", f"(uid={escaped})", ["uid", "mailHost"], 2
        )


async def test_a_user_is_searched_for_by_every_alias_and_asked_for_what_restricts_users(
    directory_on: OpenDirectory,
) -> None:
    attributes = Attributes(aliases=("mail",), networks="nets")
    rule = RuleSettings(attribute="status", values=("gone",))
    async with fake_server(ordinary) as server, directory_on(server, attributes=attributes, rule=(rule,)) as directory:
        assert await directory.find("alice", fresh=True) == USER
        search, wanted = server.requests[-1], ["uid", "mailHost", "nets", "status"]
        condition = "(|(uid=alice)(mail=alice))"
        assert search.raw == oracle.search_request(search.message_id, "dc=x", "subtree", condition, wanted, 2)


async def test_a_domain_is_searched_below_its_own_base(directory_on: OpenDirectory) -> None:
    tree = DomainSettings(names=("b.example",), base="ou=b,dc=x", local_part=True, auth="passthrough")
    async with fake_server(ordinary) as server, directory_on(server, domain=(tree,)) as directory:
        found = await directory.find("Alice@B.example")
        assert (found.user, found.dn) == ("alice@b.example", ALICE)
        assert Policy.read(found.policy) == Policy(passthrough=True)
        search = server.requests[-1]
        expected = oracle.search_request(
            search.message_id, "ou=b,dc=x", "subtree", "(uid=alice)", ["uid", "mailHost"], 2
        )
        assert search.raw == expected
        assert await directory.find("alice") == USER


async def test_what_restricts_a_user_is_found_with_the_user_or_nobody_is(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind != SEARCH or is_probe(request):
            return await ordinary(request, conversation)
        nets = b"local" if b"\x04\x03bob" in request else b"192.0.2.0/24"
        conversation.send(entry(request, ALICE, uid=b"alice", mailHost=b"s1", nets=nets))
        conversation.send(search_done(request))
        return None

    async with (
        fake_server(script) as server,
        directory_on(server, attributes=Attributes(networks="nets")) as directory,
    ):
        assert Policy.read((await directory.find("alice")).policy) == Policy(networks=("192.0.2.0/24",))
        with pytest.raises(Misconfigured, match=r"'local' of .* is no network"):
            await directory.find("bob")


@pytest.mark.parametrize("typed", ["", " alice", "alice ", "a\0b", "a\r\nb", "alice@", "x" * 300])
async def test_a_name_that_breaks_a_rule_is_never_sent(directory_on: OpenDirectory, typed: str) -> None:
    async with fake_server(ordinary) as server, directory_on(server) as directory:
        before = len(server.requests)
        with pytest.raises(InvalidName):
            await directory.find(typed)
        await directory.find("alice")
        assert len(server.requests) == before + 1


@pytest.mark.parametrize("password", [b"", b"\0", b"   "])
async def test_an_empty_password_is_refused_and_never_sent(directory_on: OpenDirectory, password: bytes) -> None:
    async with fake_server(ordinary) as server, directory_on(server) as directory:
        with pytest.raises(EmptyPassword):
            await directory.verify(USER, password)
        with pytest.raises(Misconfigured):
            await directory.verify(Entry("a", "", "s1"), b"secret")
        await directory.find("alice")
        assert [request.kind for request in server.requests if not is_probe(request)] == [BIND, SEARCH]


async def test_a_password_is_sent_as_it_was_received(directory_on: OpenDirectory) -> None:
    password = "e\u0301\u00ad\u2168".encode() + b"\xff"
    async with fake_server(ordinary) as server, directory_on(server) as directory:
        with pytest.raises(WrongPassword):
            await directory.verify(USER, password)
        bind = server.requests[-1]
        assert bind.raw == oracle.bind_request(bind.message_id, ALICE, password)


# --- what answers mean ---


async def test_a_wrong_password_is_one(directory_on: OpenDirectory) -> None:
    async with fake_server(ordinary) as server, directory_on(server) as directory:
        with pytest.raises(WrongPassword):
            await directory.verify(USER, b"wrong")
        await directory.verify(USER, b"secret")
        assert len(server.conversations) == 2


@pytest.mark.parametrize("code", [0, 4])
async def test_two_entries_are_nobody(directory_on: OpenDirectory, code: int) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind != SEARCH or is_probe(request):
            return await ordinary(request, conversation)
        for dn in ("uid=a,dc=x", "uid=a,ou=y,dc=x", "uid=a,ou=z,dc=x"):
            conversation.send(entry(request, dn, uid=b"a", mailHost=b"s1"))
        conversation.send(search_done(request, code))
        return None

    async with fake_server(script) as server, directory_on(server) as directory:
        with pytest.raises(AmbiguousUser):
            await directory.find("a")


async def test_references_and_intermediate_responses_are_ignored(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == SEARCH:
            number = integer(request.message_id)
            conversation.send(wrap(b"\x30", number + wrap(b"\x73", octet_string(b"ldap://elsewhere/"))))
            conversation.send(wrap(b"\x30", number + b"\x79\x00"))
        await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server) as directory:
        assert await directory.find("alice") == USER
        assert len(server.conversations) == 1


async def test_an_entry_without_a_shard_has_no_route(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == SEARCH and not is_probe(request):
            conversation.send(entry(request, ALICE, uid=b"alice"))
            conversation.send(search_done(request))
        else:
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server) as directory:
        with pytest.raises(NoRoute):
            await directory.find("alice")


POLICY = wrap(
    b"\xa0", wrap(b"\x30", octet_string(oracle.PASSWORD_POLICY.encode()) + octet_string(b"\x30\x03\x81\x01\x02"))
)
LOCKED = wrap(
    b"\xa0", wrap(b"\x30", octet_string(oracle.PASSWORD_POLICY.encode()) + octet_string(b"\x30\x03\x81\x01\x01"))
)


@pytest.mark.parametrize(
    ("code", "diagnostic", "controls", "kind"),
    [
        (0, "", POLICY, PasswordExpired),
        (49, "", LOCKED, AccountLocked),
        (49, "AcceptSecurityContext error, data 532, v1db1", b"", PasswordExpired),
        (32, "", b"", UnknownUser),
        (10, "", b"", Unavailable),
        (51, "", b"", ServerFault),
        (52, "", b"", ServerFault),
        (80, "", b"", Unavailable),
        (4242, "", b"", Unavailable),
        (8, "", b"", Misconfigured),
        (53, "", b"", Misconfigured),
    ],
)
async def test_a_binds_result_is_told_as_what_it_means(
    directory_on: OpenDirectory, code: int, diagnostic: str, controls: bytes, kind: type[DirectoryError]
) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == BIND and ALICE.encode() in request:
            conversation.send(bind_result(request, code, diagnostic, controls))
        else:
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server) as directory:
        with pytest.raises(DirectoryError) as failure:
            await directory.verify(USER, b"secret")
        assert type(failure.value) is kind


# --- faults ---


async def test_a_server_that_says_nothing_is_unavailable(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if is_probe(request) or (request.kind == BIND and ALICE.encode() not in request):
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server, operation_timeout=0.05) as directory:
        with pytest.raises(ServerFault, match="no answer within"):
            await directory.find("alice")
        with pytest.raises(Unavailable, match="no answer within"):
            await directory.verify(USER, b"secret")


async def test_a_server_that_trickles_is_unavailable(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == BIND and ALICE.encode() in request:
            for octet in bind_result(request, 0)[:-1]:
                conversation.send(bytes((octet,)))
                await asyncio.sleep(0)
        else:
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server, operation_timeout=0.05) as directory:
        with pytest.raises(ServerFault, match="no answer within"):
            await directory.verify(USER, b"secret")


@pytest.mark.parametrize("answered", [b"", b"\x30", b"\x30\x0c\x02\x01"])
async def test_a_server_that_dies_in_mid_answer_is_asked_once_more(
    directory_on: OpenDirectory, answered: bytes
) -> None:
    deaths: list[int] = []

    async def script(request: Request, conversation: Conversation) -> None:
        if b"alice" in request and request.kind not in deaths:
            deaths.append(request.kind)
            conversation.send(answered)
            conversation.writer.close()
        else:
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server) as directory:
        await directory.verify(await directory.find("alice"), b"secret")
        assert deaths == [SEARCH, BIND]


async def test_a_server_that_always_dies_is_unavailable_after_two_attempts(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == SEARCH and not is_probe(request):
            conversation.close()
        else:
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server, server_retry=30.0) as directory:
        with pytest.raises(ServerFault):
            await directory.find("alice")
        assert len([request for request in server.of_kind(SEARCH) if not is_probe(request)]) == 2


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x80\x00\x00",
        b"\x30\x05\x02\x01\x01\x30\x00",
        b"\x00" * 100,
    ],
)
async def test_garbage_is_unavailable_and_ends_the_connection(directory_on: OpenDirectory, garbage: bytes) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == BIND and ALICE.encode() in request:
            conversation.send(garbage)
        else:
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server) as directory:
        with pytest.raises(ServerFault, match="garbage"):
            await directory.verify(USER, b"secret")
        assert len({request.connection for request in server.of_kind(BIND)}) == 3


async def test_an_answer_of_the_wrong_kind_is_garbage(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == BIND and ALICE.encode() in request:
            conversation.send(result(request, SEARCH_DONE, 0))
        else:
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server) as directory:
        with pytest.raises(ServerFault, match="wrong kind"):
            await directory.verify(USER, b"secret")


async def test_a_server_may_take_its_leave(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == SEARCH and not is_probe(request):
            conversation.send(farewell(52, "going down"))
        else:
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server) as directory:
        with pytest.raises(ServerFault, match=r"takes its leave: unavailable \(52\): going down"):
            await directory.find("alice")


async def test_a_late_bind_answer_is_never_credited_to_another_user(directory_on: OpenDirectory) -> None:
    held: list[tuple[Request, Conversation]] = []

    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == BIND and b"\x80\x04slow" in request:
            held.append((request, conversation))
        else:
            await ordinary(request, conversation)

    async with (
        fake_server(script) as server,
        directory_on(server, bind_connections=1, operation_timeout=0.1) as directory,
    ):
        with pytest.raises(Unavailable):
            await directory.verify(USER, b"slow")
        (slow, conversation), waiting = held[0], asyncio.ensure_future(directory.verify(USER, b"wrong"))
        conversation.send(bind_result(slow, 0), bind_result(slow, 0))
        with pytest.raises(WrongPassword):
            await waiting
        last = server.of_kind(BIND)[-1]
        assert last.connection != slow.connection


async def test_a_cancelled_bind_gives_up_its_connection_and_its_place(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if not (request.kind == BIND and b"\x80\x04slow" in request):
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server, bind_connections=1) as directory:
        task = asyncio.ensure_future(directory.verify(USER, b"slow"))
        await server.seen(lambda server: any(b"slow" in request for request in server.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await directory.verify(USER, b"secret")
        assert len({request.connection for request in server.of_kind(BIND)}) == 3


async def test_a_cancelled_search_is_abandoned_and_its_late_answer_falls_to_nobody(directory_on: OpenDirectory) -> None:
    held: list[Request] = []

    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == SEARCH and b"\x04\x03bob" in request:
            held.append(request)
        elif request.kind == SEARCH and held:
            conversation.send(entry(held[0], "uid=bob,dc=x", uid=b"bob", mailHost=b"s9"), search_done(held[0]))
            await ordinary(request, conversation)
        else:
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server) as directory:
        task = asyncio.ensure_future(directory.find("bob"))
        await server.seen(lambda server: bool(held))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await directory.find("alice") == USER
        (abandon,) = server.of_kind(ABANDON)
        assert abandon.raw == oracle.abandon_request(abandon.message_id, held[0].message_id)
        assert len(server.conversations) == 1


async def test_one_slow_search_does_not_end_the_others(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if not (request.kind == SEARCH and b"\x04\x03bob" in request):
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server, operation_timeout=0.2) as directory:
        slow = asyncio.ensure_future(directory.find("bob"))
        await server.seen(lambda server: any(b"\x04\x03bob" in request for request in server.requests))
        assert await directory.find("alice") == USER
        with pytest.raises(Unavailable) as failure:
            await slow
        assert not isinstance(failure.value, ServerFault)
        assert await directory.find("alice") == USER
        assert len(server.conversations) == 1
        assert directory.healthy


async def test_the_service_identity_refused_is_a_misconfiguration(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == BIND and b"cn=service" in request:
            conversation.send(bind_result(request, 49))
        else:
            await ordinary(request, conversation)

    async with fake_server(script) as server, directory_on(server) as directory:
        assert not directory.healthy
        with pytest.raises(Misconfigured, match=r"'cn=service' is refused: invalidCredentials \(49\)"):
            await directory.find("alice")


async def turns(count: int) -> None:
    """Let others go first."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_logins_at_the_same_time_get_their_own_answers(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == SEARCH and not is_probe(request):
            (name,) = re.findall(rb"\x04\x03(u\d\d)", request.raw)
            await turns(request.message_id % 3 * 5)
            conversation.send(entry(request, f"uid={name.decode()},dc=x", uid=name, mailHost=b"s" + name))
            conversation.send(search_done(request))
        elif request.kind == BIND and b"cn=service" not in request:
            (name,) = re.findall(rb"uid=(u\d\d)", request.raw)
            await turns(request.message_id % 3 * 5)
            conversation.send(bind_result(request, 0 if b"\x80\x05pw" + name in request else 49))
        else:
            await ordinary(request, conversation)

    async def login(number: int) -> None:
        found = await directory.find(f"u{number:02}")
        assert found.shard == f"su{number:02}"
        wrong = number % 5 == 0
        with pytest.raises(WrongPassword) if wrong else contextlib.nullcontext():
            await directory.verify(found, b"pwxxx" if wrong else f"pwu{number:02}".encode())

    async with (
        fake_server(script) as server,
        directory_on(server, bind_connections=3, search_outstanding=4) as directory,
    ):
        await asyncio.gather(*map(login, range(60)))
        assert len(server.conversations) == 4


async def test_nothing_is_answered_after_closing(directory_on: OpenDirectory) -> None:
    async with fake_server(ordinary) as server, directory_on(server) as directory:
        await directory.verify(await directory.find("alice"), b"secret")
        await directory.close()
        with pytest.raises(Unavailable):
            await directory.find("alice")
        with pytest.raises(Unavailable):
            await directory.verify(USER, b"secret")
        assert len(server.conversations) == 2


async def test_a_directory_that_was_never_started_can_be_closed(tmp_path: Path) -> None:
    directory = LdapDirectory(DirectorySettings(kind="ldap", servers=("ldap://127.0.0.1",), base="dc=x"), None)
    assert not directory.healthy
    await directory.close()


def test_a_lookup_is_described_without_any_server() -> None:
    directory = LdapDirectory(DirectorySettings(kind="ldap", servers=("ldap://a", "ldap://b"), base="dc=x"), None)
    described = directory.describe("Alice")
    assert ("filter", "(uid=alice)") in described
    assert described[-1] == ("servers", "ldap://a, ldap://b")


# --- settings that cannot work ---


def test_tls_needs_a_context_and_an_identity_needs_a_password() -> None:
    with pytest.raises(ValueError, match="needs a TLS context"):
        LdapDirectory(DirectorySettings(kind="ldap", servers=("ldaps://a",), base="dc=x"), None)
    with pytest.raises(ValueError, match="needs a TLS context"):
        LdapDirectory(DirectorySettings(kind="ldap", servers=("ldap://a",), base="dc=x", starttls=True), None)
    with pytest.raises(ValueError, match="bind_dn needs bind_password_file"):
        LdapDirectory(DirectorySettings(kind="ldap", servers=("ldap://a",), base="dc=x", bind_dn="cn=x"), None)

"""One connection to an LDAP server: transport, TLS, and operations that wait for their answers.

Two disciplines share the wire. A `SearchConnection` has many searches in progress and never binds again once it is in
use, because a bind abandons everything outstanding (RFC 4511 section 4.2.1) and servers then simply do not answer. A
`BindConnection` has one bind in progress; when its answer is no longer waited for, the connection is closed, so that a
late answer can never be taken for another user's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from ldapmap.client.address import Address
from ldapmap.client.ber import BerError
from ldapmap.client.deadlines import Deadlines
from ldapmap.client.messages import (
    BIND_RESPONSE,
    EXTENDED_RESPONSE,
    LARGEST_ID,
    SEARCH_DONE,
    SIZE_LIMIT,
    FoundEntry,
    Response,
    Responses,
    Result,
    abandon_request,
    bind_request,
    start_tls_request,
    unbind_request,
)
from ldapmap.client.results import SUCCESS, described
from ldapmap.client.transport import Transport, connect
from ldapmap.errors import Misconfigured, ServerFault, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How to reach a server. `context` is None for connections that never use TLS."""

    address: Address
    context: ssl.SSLContext | None
    starttls: bool
    connect_timeout: float
    message_limit: int
    search_outstanding: int
    queue_limit: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Who searches. The password does not print."""

    dn: bytes
    password: bytes = field(repr=False)


class Encoder(Protocol):
    """A search that lacks its number and the value searched for."""

    def encode(self, message_id: int, value: bytes) -> bytes: ...


class Late(Unavailable):
    """No answer in time, though the server answered others meanwhile."""


class Silent(ServerFault):
    """No answer in time, and nothing else was heard on the connection meanwhile."""


class _Operation:
    """What is expected for a request, and those who wait for it.

    `heard` is how many messages the connection had received when the request was sent.
    """

    __slots__ = ("entries", "expected", "future", "heard")

    def __init__(self, expected: int, heard: int, future: asyncio.Future[Result]) -> None:
        self.expected = expected
        self.heard = heard
        self.future = future
        self.entries: list[FoundEntry] = []


class Connection:
    """What both disciplines share. `closed` is True, for good, as soon as the connection is of no use."""

    def __init__(self, target: Target, deadlines: Deadlines) -> None:
        self.closed = False
        self._target = target
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._transport: Transport | None = None
        self._responses = Responses(target.message_limit)
        self._pending: dict[int, _Operation] = {}
        self._last_id = 0
        self._heard = 0
        self._upgrading = False
        self._why = ""

    def __str__(self) -> str:
        return str(self._target.address)

    # --- operations ---

    def bind(self, dn: bytes, password: bytes) -> Awaitable[Result]:
        """A simple bind with nothing else in progress. Whoever stops waiting for it closes the connection."""
        if self._pending:
            raise RuntimeError("a bind would abandon what is in progress")
        message_id = self._next_id()
        return self._serial(message_id, bind_request(message_id, dn, password), BIND_RESPONSE)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Ask for TLS and start it. Anything the server says before TLS that is not its answer is a fault."""
        message_id = self._next_id()
        result = await self._serial(message_id, start_tls_request(message_id), EXTENDED_RESPONSE)
        if result.code != SUCCESS:
            raise Misconfigured(f"{self}: StartTLS: {described(result)}")
        if not self._responses.empty:
            raise ServerFault(f"{self}: bytes between StartTLS and TLS")
        await self._open_transport().start_tls(context, self._target.address.host)
        self._upgrading = False

    def close(self, reason: str = "closed by us") -> None:
        """Say goodbye and close. Operations in progress end with ServerFault."""
        if self._transport is not None and not self.closed:
            self._transport.write(unbind_request(self._next_id()))
            self._transport.close()
        self._end(reason)

    def abort(self, reason: str) -> None:
        """Close at once, without a word."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def check(self) -> None:
        """Raise ServerFault, which says why, if the connection is closed."""
        self._open_transport()

    # --- called by the transport ---

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._received(self._responses.feed(data))
        except BerError as error:
            self.abort(f"the server sent garbage: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"connection lost: {exc}" if exc else "the server closed the connection")

    # --- details ---

    def _received(self, responses: Iterable[Response]) -> None:
        for response in responses:
            self._heard += 1
            if self._upgrading:
                raise BerError("a message between StartTLS and TLS")
            operation = self._pending.get(response.message_id)
            if operation is None:
                self._unexpected(response)
            elif type(response) is FoundEntry:
                if len(operation.entries) < SIZE_LIMIT:
                    operation.entries.append(response)
            elif type(response) is Result:
                if response.kind != operation.expected:
                    raise BerError("an answer of the wrong kind")
                self._upgrading = response.kind == EXTENDED_RESPONSE and response.code == SUCCESS
                del self._pending[response.message_id]
                if not operation.future.done():
                    operation.future.set_result(response)

    def _unexpected(self, response: Response) -> None:
        """The answer to something we abandoned, or the server's last word (RFC 4511 section 4.4)."""
        if response.message_id == 0 and isinstance(response, Result):
            self.abort(f"the server takes its leave: {described(response)}")

    async def _serial(self, message_id: int, request: bytes, expected: int) -> Result:
        transport, operation = self._begin(message_id, expected)
        transport.send(request)
        try:
            try:  # not in a coroutine for both kinds: one frame less to resume, at each wait of each login
                return await operation.future
            except TimeoutError:
                raise self._timed_out(operation) from None
            finally:
                self._deadlines.discard(operation.future)
        except BaseException:
            self.abort("nobody waits for its answer any more")
            raise

    def _begin(self, message_id: int, expected: int) -> tuple[Transport, _Operation]:
        """Where to send the request, and what to wait for; whoever has waited discards the deadline."""
        transport = self._transport
        if self.closed or transport is None:
            raise self._not_open()
        operation = self._pending[message_id] = _Operation(expected, self._heard, self._loop.create_future())
        self._deadlines.add(operation.future)
        return transport, operation

    def _timed_out(self, operation: _Operation) -> Unavailable:
        """The server hangs if no message came at all since the request; else only this answer is late."""
        text = f"{self}: no answer within {self._deadlines.seconds:g} s"
        if operation.heard != self._heard:
            return Late(text)
        self.abort("the server hangs")
        return Silent(text)

    def _next_id(self) -> int:
        self._last_id = self._last_id % LARGEST_ID + 1
        return self._last_id

    def _open_transport(self) -> Transport:
        if self.closed or self._transport is None:
            raise self._not_open()
        return self._transport

    def _not_open(self) -> ServerFault:
        return ServerFault(f"{self}: {self._why or 'not connected'}", again=True)

    def _end(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        self._why = reason
        operations = list(self._pending.values())
        self._pending.clear()
        for operation in operations:
            if not operation.future.done():
                operation.future.set_exception(ServerFault(f"{self}: {reason}", again=True))


class BindConnection(Connection):
    """One bind at a time, as whomever."""


class SearchConnection(Connection):
    """Many searches at a time, as the service identity."""

    async def search(self, search: Encoder, value: bytes) -> tuple[Result, list[FoundEntry]]:
        """The result and at most two entries. Raises Unavailable or ServerFault."""
        message_id = self._next_id()
        request = search.encode(message_id, value)
        transport, operation = self._begin(message_id, SEARCH_DONE)
        transport.write(request)
        try:
            try:
                return await operation.future, operation.entries
            except TimeoutError:
                raise self._timed_out(operation) from None
            finally:
                self._deadlines.discard(operation.future)
        except BaseException:
            self._abandon(message_id)
            raise

    def _abandon(self, message_id: int) -> None:
        """Stop waiting. A late answer finds no operation of its number, which is not used again."""
        if self._pending.pop(message_id, None) is not None and self._transport is not None:
            self._transport.write(abandon_request(self._next_id(), message_id))


C = TypeVar("C", bound=Connection)


async def open_connection(kind: type[C], target: Target, deadlines: Deadlines, identity: Identity | None = None) -> C:
    """Connect, start TLS and bind as `identity` if there is one, all within `connect_timeout`.

    Raises ServerFault, or Misconfigured when the server refuses StartTLS or the identity. Whatever happens, including
    cancellation, no half-open connection is left behind.
    """
    connection = kind(target, deadlines)
    try:
        async with asyncio.timeout(target.connect_timeout):
            await _connect(connection, target)
            await _introduce(connection, target, identity)
            connection.check()
    except TimeoutError:
        connection.abort("not usable in time")
        raise ServerFault(f"{connection}: not usable within {target.connect_timeout:g} s") from None
    except OSError as error:
        connection.abort("not usable")
        raise ServerFault(f"{connection}: {error}") from error
    except BaseException:
        connection.abort("not usable")
        raise
    return connection


async def _connect(connection: Connection, target: Target) -> None:
    address = target.address
    transport = Transport(await connect(address, target.connect_timeout), connection)
    connection.connection_made(transport)
    if address.scheme == "ldaps" and target.context is not None:
        await transport.start_tls(target.context, address.host)
    else:
        transport.start()


async def _introduce(connection: Connection, target: Target, identity: Identity | None) -> None:
    if target.starttls and target.context is not None:
        await connection.start_tls(target.context)
    if identity is not None:
        result = await connection.bind(identity.dn, identity.password)
        if result.code != SUCCESS:
            raise Misconfigured(f"{connection}: {identity.dn.decode()!r} is refused: {described(result)}")

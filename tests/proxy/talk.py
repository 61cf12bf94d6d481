"""One end of a conversation in the test's event loop: lines and bytes, in clear or in TLS, cut as a test wants them."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType

#: How long a broken test waits before it says so.
PATIENCE = 10.0


class Peer:
    """A connection. `heard` is everything received so far, deciphered; `cut` says that TLS ended without a farewell."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._unread = b""
        self.heard = b""
        self.cut = False

    @classmethod
    async def connect(cls, address: tuple[str, int], *, source: str = "") -> Peer:
        """A connection to `address`, from the address `source` if one is given."""
        local = (source, 0) if source else None
        return cls(*await asyncio.open_connection(*address, local_addr=local))

    @classmethod
    async def over(cls, sock: socket.socket) -> Peer:
        """The owner of a connected socket."""
        return cls(*await asyncio.open_connection(sock=sock))

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> tuple[str, int]:
        """Our own address."""
        host, port, *_ = self._writer.get_extra_info("sockname")
        return host, port

    @property
    def other(self) -> tuple[str, int]:
        """The other end's address."""
        host, port, *_ = self._writer.get_extra_info("peername")
        return host, port

    @property
    def alpn(self) -> str | None:
        """The protocol that the TLS handshake has agreed on."""
        return self._tls.selected_alpn_protocol() if self._tls else None

    @property
    def certificate(self) -> bytes | None:
        """What the other end has presented."""
        return self._tls.getpeercert(binary_form=True) if self._tls else None

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        host: str | None = None,
        ahead: bytes = b"",
        piece: int = 0,
    ) -> None:
        """The TLS handshake; `ahead` goes out in one segment with its first bytes, which come in pieces of `piece`."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side, None if server_side else host)
        if self._unread:
            self._incoming.write(self._unread)
            self._unread = b""
        done = False
        while not done:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                await self._flush()
                raise
            await self._say(ahead + self._outgoing.read(), piece)
            ahead = b""
            if not done:
                self._incoming.write(await self._raw())
        self._tls = tls

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        if self._tls is None:
            await self._say(data)
            return
        if data:
            self._tls.write(data)
        await self._flush()

    async def send_in_clear(self, data: bytes) -> None:
        """Send past TLS."""
        await self._say(data)

    async def line(self) -> bytes:
        """The next line without its CR LF; raises EOFError."""
        while b"\r\n" not in self._unread:
            data = await self._more()
            if not data:
                raise EOFError(self._unread)
        line, _, self._unread = self._unread.partition(b"\r\n")
        return line

    async def exactly(self, count: int) -> bytes:
        """The next `count` bytes; raises EOFError."""
        while len(self._unread) < count:
            if not await self._more():
                raise EOFError(self._unread)
        data, self._unread = self._unread[:count], self._unread[count:]
        return data

    async def rest(self) -> bytes:
        """Everything up to the end of the stream."""
        while await self._more():
            pass
        data, self._unread = self._unread, b""
        return data

    async def ask(self, command: bytes) -> bytes:
        """Send a line; the lines up to the one that has the command's tag, joined by newlines."""
        await self.send(command + b"\r\n")
        return await self.answer(command.partition(b" ")[0])

    async def answer(self, tag: bytes) -> bytes:
        """The lines up to the one that has the tag, joined by newlines."""
        lines = [await self.line()]
        while not lines[-1].startswith(tag + b" "):
            lines.append(await self.line())
        return b"\n".join(lines)

    def half_close(self) -> None:
        """Say that no more will come (only without TLS)."""
        self._writer.write_eof()

    def reset(self) -> None:
        """End the connection as a crash would."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()

    async def _more(self) -> bytes:
        """More to read, which has been added to what is unread; nothing at the end."""
        data = await (self._deciphered() if self._tls else self._received())
        self.heard += data
        self._unread += data
        return data

    async def _deciphered(self) -> bytes:
        assert self._tls is not None
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                data = await self._received()
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLEOFError:
                self.cut = True
                return b""
            except ssl.SSLZeroReturnError:
                return b""
            await self._flush()

    async def _raw(self) -> bytes:
        data = await self._received()
        if not data:
            raise EOFError
        return data

    async def _received(self) -> bytes:
        return await asyncio.wait_for(self._reader.read(65536), PATIENCE)

    async def _flush(self) -> None:
        await self._say(self._outgoing.read())

    async def _say(self, data: bytes, piece: int = 0) -> None:
        for start in range(0, len(data), piece or max(len(data), 1)):
            self._writer.write(data[start : start + (piece or len(data))])
            await self._writer.drain()
            if piece:
                await asyncio.sleep(0)


Talk = Callable[[Peer], Awaitable[None]]


class Server:
    """Listens on a loopback address; every connection is a `Peer` that `talk` is told to talk with."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._talks: set[asyncio.Task[None]] = set()
        self.peers: list[Peer] = []
        self.port = 0

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1000)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        talks = tuple(self._talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    async def finished(self) -> None:
        """Wait until every conversation has ended."""
        while self._talks:
            await asyncio.wait_for(asyncio.wait(self._talks), PATIENCE)

    def refuse(self) -> None:
        """Accept no more connections: the next is refused."""
        self._server.close()

    @property
    def heard(self) -> bytes:
        """What has been heard on all connections, in the order they were made."""
        return b"".join(peer.heard for peer in self.peers)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        try:
            with suppress(EOFError, OSError, asyncio.TimeoutError, asyncio.CancelledError):
                await self._talk(peer)
        finally:
            self._talks.discard(task)
            peer.close()


async def silent(peer: Peer) -> None:
    """Accepts and says nothing, ever."""
    await peer.rest()


async def gone(peer: Peer) -> None:
    """Accepts and closes."""


def says(*lines: str) -> Talk:
    """Sends each line when asked for it: the first at once, each other one when a line has been heard; then listens."""

    async def talk(peer: Peer) -> None:
        for position, line in enumerate(lines):
            if position:
                await peer.line()
            await peer.send(line.encode() + b"\r\n")
        await peer.rest()

    return talk


class Imap:
    """An IMAP server that lets everybody in, unless a login's turn in `answers` says otherwise; then it echoes.

    With `context` it offers STARTTLS, with `implicit` it begins in TLS. `logins` has authorisation identity, user and
    password of each login, or mechanism and message for other mechanisms; `behind` is sent at once behind each OK.
    While `held` is cleared, no login is answered.
    """

    def __init__(
        self,
        *answers: str,
        context: ssl.SSLContext | None = None,
        implicit: bool = False,
        mechanisms: tuple[str, ...] = ("PLAIN",),
        greeting: str = "",
        behind: bytes = b"",
    ) -> None:
        self.answers = list(answers)
        self.logins: list[tuple[str, ...]] = []
        self.ids: list[str] = []
        self.held = asyncio.Event()
        self.held.set()
        self._context = context
        self._implicit = implicit
        self._mechanisms = mechanisms
        self._greeting = greeting
        self._behind = behind

    async def __call__(self, peer: Peer) -> None:
        assert not self._implicit or self._context is not None
        if self._implicit and self._context is not None:
            await peer.start_tls(self._context, server_side=True)
        secure = self._implicit
        await peer.send(f"{self._greeting or f'* OK [CAPABILITY {self._capability(secure)}] ready'}\r\n".encode())
        while True:
            tag, _, command = (await peer.line()).decode().partition(" ")
            name, _, arguments = command.partition(" ")
            if name == "CAPABILITY":
                await peer.send(f"* CAPABILITY {self._capability(secure)}\r\n{tag} OK done\r\n".encode())
            elif name == "ID":
                self.ids.append(arguments)
                await peer.send(f"* ID NIL\r\n{tag} OK done\r\n".encode())
            elif name == "STARTTLS" and self._context is not None:
                await peer.send(f"{tag} OK begin\r\n".encode())
                await peer.start_tls(self._context, server_side=True)
                secure = True
            elif name in ("AUTHENTICATE", "LOGIN"):
                take = self._take_login if name == "LOGIN" else self._take_message
                if await self._log_in(peer, tag, *await take(peer, arguments)):
                    await self._echo(peer)
                    return
            else:
                await peer.send(f"{tag} BAD unknown\r\n".encode())

    def _capability(self, secure: bool) -> str:
        offered = " ".join(f"AUTH={name}" for name in self._mechanisms)
        if self._context is not None and not secure:
            offered = "STARTTLS LOGINDISABLED"
        return f"IMAP4rev1 SASL-IR LITERAL+ ID {offered}"

    @staticmethod
    async def _take_message(_: Peer, arguments: str) -> tuple[str, bytes]:
        mechanism, message = arguments.split(" ")
        return mechanism, base64.b64decode(message)

    @staticmethod
    async def _take_login(peer: Peer, rest: str) -> tuple[str, bytes]:
        """The words of a LOGIN as the PLAIN message that means the same."""
        words = []
        while rest:
            quoted = re.match(r'"((?:[^"\\]|\\.)*)" ?', rest)
            if quoted:
                words.append(re.sub(r"\\(.)", r"\1", quoted[1]).encode())
                rest = rest[quoted.end() :]
            else:
                size = re.fullmatch(r"\{([0-9]+)\+\}", rest)
                assert size, rest
                words.append(await peer.exactly(int(size[1])))
                rest = (await peer.line()).decode().lstrip()
        assert len(words) == 2
        return "PLAIN", b"\0".join((b"", *words))

    async def _log_in(self, peer: Peer, tag: str, mechanism: str, message: bytes) -> bool:
        if mechanism == "PLAIN":
            self.logins.append(tuple(part.decode() for part in message.split(b"\0")))
        else:
            self.logins.append((mechanism, message.decode()))
        answer = self.answers.pop(0) if self.answers else "OK Logged in."
        await self.held.wait()
        behind = self._behind if answer.startswith("OK") else b""
        await peer.send(f"{tag} {answer}\r\n".encode() + behind)
        return answer.startswith("OK")

    @staticmethod
    async def _echo(peer: Peer) -> None:
        """After login each line comes back behind `echo `, and LOGOUT ends it."""
        while (line := await peer.line()) and b"LOGOUT" not in line:
            await peer.send(b"echo " + line + b"\r\n")

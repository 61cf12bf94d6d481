"""A simulated ManageSieve server (RFC 5804): scripts are kept in memory and never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from loadtest.host import LINE, Host, acting_for
from loadtest.mailbox import MAX_SCRIPTS, Mailbox
from loadtest.words import BadSyntax, Word, read_command, text
from proxy.protocols import sasl
from proxy.protocols.failures import Failure
from proxy.protocols.wire import BareNewline, Wire


class SieveServer:
    """One conversation; `serve` returns when the client has logged out, and raises the wire's failures."""

    def __init__(self, wire: Wire, host: Host) -> None:
        self._wire = wire
        self._host = host
        self._user = ""
        self._client = ""
        self._mailbox: Mailbox | None = None
        self._over = False

    async def serve(self) -> None:
        """Hold the conversation."""
        try:
            await self._capability([])
            while not self._over:
                await self._exchange()
        finally:
            self._host.leave("managesieve", self._user)

    async def _exchange(self) -> None:
        """One command and its answer."""
        try:
            command, *arguments = await read_command(self._wire, LINE)
            name, state = text(command).upper(), _BEFORE if self._mailbox is None else _AFTER
            handler = _ANY.get(name) or state.get(name, SieveServer._unknown)
            await handler(self, arguments)
        except (BadSyntax, BareNewline):
            await self._no("Bad command.")

    # --- in every state ---

    async def _capability(self, _: list[Word]) -> None:
        lines = [
            f'"IMPLEMENTATION" "{self._host.name}"',
            f'"SASL" "{"" if self._mailbox else "PLAIN"}"',
            '"SIEVE" "fileinto reject vacation"',
            '"VERSION" "1.0"',
            *(['"STARTTLS"'] if self._host.offers_tls(self._wire) else []),
            *(['"XCLIENT"'] if self._mailbox is None else []),
        ]
        await self._wire.send("".join(line + "\r\n" for line in lines).encode())
        await self._ok(f"{self._host.name} ready.")

    async def _noop(self, arguments: list[Word]) -> None:
        tag = f"(TAG {_quoted(text(arguments[0]))}) " if arguments else ""
        await self._wire.send(f'OK {tag}"Done."\r\n'.encode())

    async def _logout(self, _: list[Word]) -> None:
        self._over = True
        await self._ok("Bye.")

    async def _unknown(self, _: list[Word]) -> None:
        await self._no("Unknown command, or not now.")

    # --- before login ---

    async def _authenticate(self, arguments: list[Word]) -> None:
        mechanism, *initial = (text(word) for word in arguments or [b""])
        if mechanism.upper() != "PLAIN":
            await self._no("Unknown mechanism.")
            return
        try:
            attempt = await sasl.plain(self._ask, sasl.decode(initial[0].encode()) if initial else None)
        except Failure:
            await self._no("Malformed response.")
        else:
            await self._admit(acting_for(attempt))

    async def _ask(self, challenge: bytes) -> bytes:
        await self._wire.send(b'"' + sasl.encode(challenge) + b'"\r\n')
        return sasl.decode(text((await read_command(self._wire, LINE))[0]).encode())

    async def _admit(self, user: str) -> None:
        self._mailbox = self._host.admit("managesieve", user, self._client)
        if self._mailbox is None:
            await self._no("Nobody of that name.")
            return
        self._user = user
        await self._ok("Logged in.")

    async def _starttls(self, _: list[Word]) -> None:
        if not self._host.offers_tls(self._wire):
            await self._no("No TLS.")
            return
        await self._ok("Begin TLS.")
        await self._wire.start_tls()
        await self._capability([])

    async def _xclient(self, arguments: list[Word]) -> None:
        words = [text(word) for word in arguments]
        self._client = next((word[5:] for word in words if word.upper().startswith("ADDR=")), "")
        await self._ok("Updated")

    # --- after login ---

    async def _listscripts(self, _: list[Word]) -> None:
        mailbox = self._opened()
        active = mailbox.active_script
        lines = [f"{_quoted(name)}{' ACTIVE' if name == active else ''}\r\n" for name in mailbox.scripts]
        await self._wire.send("".join(lines).encode())
        await self._ok("Done.")

    async def _putscript(self, arguments: list[Word]) -> None:
        match arguments:
            case [bytes() as name, bytes() as script] if name and text(name).isprintable():
                await self._put(text(name), script)
            case _:
                await self._no("PUTSCRIPT takes a name and a script.")

    async def _put(self, name: str, script: bytes) -> None:
        scripts = self._opened().scripts
        if name not in scripts and len(scripts) >= MAX_SCRIPTS:
            await self._wire.send(b'NO (QUOTA/MAXSCRIPTS) "Too many scripts."\r\n')
            return
        scripts[name] = script
        await self._ok("Stored.")

    async def _getscript(self, arguments: list[Word]) -> None:
        if (name := await self._existing(arguments)) is not None:
            script = self._opened().scripts[name]
            await self._wire.send(b"{%d}\r\n%b\r\n" % (len(script), script))
            await self._ok("Done.")

    async def _setactive(self, arguments: list[Word]) -> None:
        if arguments == [b""]:
            self._opened().active_script = ""
            await self._ok("No script is active.")
        elif (name := await self._existing(arguments)) is not None:
            self._opened().active_script = name
            await self._ok("Activated.")

    async def _deletescript(self, arguments: list[Word]) -> None:
        if (name := await self._existing(arguments)) is None:
            return
        mailbox = self._opened()
        if name == mailbox.active_script:
            await self._wire.send(b'NO (ACTIVE) "The script is active."\r\n')
            return
        del mailbox.scripts[name]
        await self._ok("Deleted.")

    async def _ok_to_words(self, _: list[Word]) -> None:
        await self._ok("Done.")

    async def _existing(self, arguments: list[Word]) -> str | None:
        """The script's name in the arguments, or None when the client has been told that there is none such."""
        name = text(arguments[0]) if arguments else ""
        if name in self._opened().scripts:
            return name
        await self._wire.send(b'NO (NONEXISTENT) "No such script."\r\n')
        return None

    def _opened(self) -> Mailbox:
        assert self._mailbox is not None  # noqa: S101 (commands after login are reached after login only)
        return self._mailbox

    async def _ok(self, words: str) -> None:
        await self._wire.send(f'OK "{words}"\r\n'.encode())

    async def _no(self, words: str) -> None:
        await self._wire.send(f'NO "{words}"\r\n'.encode())


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


_Handler: TypeAlias = Callable[[SieveServer, list[Word]], Awaitable[None]]

_ANY: Mapping[str, _Handler] = {
    "CAPABILITY": SieveServer._capability,
    "LOGOUT": SieveServer._logout,
    "NOOP": SieveServer._noop,
}
_BEFORE: Mapping[str, _Handler] = {
    "AUTHENTICATE": SieveServer._authenticate,
    "STARTTLS": SieveServer._starttls,
    "XCLIENT": SieveServer._xclient,
}
_AFTER: Mapping[str, _Handler] = {
    "LISTSCRIPTS": SieveServer._listscripts,
    "PUTSCRIPT": SieveServer._putscript,
    "GETSCRIPT": SieveServer._getscript,
    "SETACTIVE": SieveServer._setactive,
    "DELETESCRIPT": SieveServer._deletescript,
    "HAVESPACE": SieveServer._ok_to_words,
    "CHECKSCRIPT": SieveServer._ok_to_words,
}

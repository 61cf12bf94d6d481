"""One login through a proxy in each protocol, as a mail client does it, to see which backend answers."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loadtest.streams import BUFFER, StreamWire
from proxy.protocols.wire import WireFailure

PATIENCE = 60.0
"""Seconds a visit may take."""

_MOST_LINES = 100


class VisitFailed(Exception):
    """The login did not succeed; the text is what the server said, never the password."""


@dataclass(frozen=True, slots=True)
class Script:
    """What a client sends, each with a pattern for the line that ends the reply and one for its being good.

    `name` finds what the backend calls itself in all that was said.
    """

    steps: Callable[[str, str], list[tuple[str, str, str]]]
    name: str


def _imap(user: str, password: str) -> list[tuple[str, str, str]]:
    login = f"a LOGIN {_quoted(user)} {_quoted(password)}"
    return [("", r"\*", r"\* OK"), (login, "a ", "a OK"), ("b ID NIL", "b ", "b OK"), ("c LOGOUT", "c ", "c OK")]


def _pop3(user: str, password: str) -> list[tuple[str, str, str]]:
    once = [(line, "", r"\+OK") for line in ("", f"USER {user}", f"PASS {password}")]
    return [*once, ("CAPA", r"\.$|-ERR", r"\."), ("QUIT", "", r"\+OK")]


def _managesieve(user: str, password: str) -> list[tuple[str, str, str]]:
    message = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    commands = ("", f'AUTHENTICATE "PLAIN" "{message}"', "CAPABILITY", "LOGOUT")
    return [(command, "OK|NO|BYE", "OK") for command in commands]


SCRIPTS: Mapping[str, Script] = {
    "imap": Script(_imap, r'\* ID \(.*"name" "([^"]*)"'),
    "pop3": Script(_pop3, r"(?m)^IMPLEMENTATION (.*)$"),
    "managesieve": Script(_managesieve, r'"IMPLEMENTATION" "([^"]*)"'),
}


async def visit(protocol: str, port: int, context: ssl.SSLContext, user: str, password: str) -> str:
    """Log in at localhost over implicit TLS; the name of the backend that answered. Raises VisitFailed."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await _visit(SCRIPTS[protocol], port, context, user, password)
    except TimeoutError:
        raise VisitFailed(f"no answer within {PATIENCE:g} s") from None
    except (OSError, WireFailure) as failure:
        raise VisitFailed(f"{type(failure).__name__} {failure}".rstrip()) from None


async def _visit(script: Script, port: int, context: ssl.SSLContext, user: str, password: str) -> str:
    _, wire = await asyncio.get_running_loop().create_connection(
        StreamWire, "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    try:
        said = ""
        for command, end, good in script.steps(user, password):
            if command:
                await wire.send(command.encode() + b"\r\n")
            said = await _reply(wire, end, good, said)
    finally:
        wire.close()
    found = re.findall(script.name, said)
    return str(found[-1]) if found else "a backend that does not tell its name"


async def _reply(wire: StreamWire, end: str, good: str, said: str) -> str:
    """`said` and the lines up to the one that ends the reply; raises VisitFailed when that one is not good."""
    for _ in range(_MOST_LINES):
        line = (await wire.line(BUFFER)).decode(errors="replace")
        said += line + "\n"
        if re.match(end, line):
            if not re.match(good, line):
                raise VisitFailed(line)
            return said
    raise VisitFailed("the server says too much")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""Addresses of backends, looked up in the background so that no login waits for the DNS."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address

#: Seconds between two looks at the same name.
_REFRESH = 30.0

_logger = logging.getLogger("vestibule.resolver")


class Resolver:
    """Keeps the addresses of a fixed set of hosts; while a look-up fails, the last known ones go on being used."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._known: dict[str, tuple[str, ...]] = {}
        self._names: list[str] = []
        for host in dict.fromkeys(hosts):
            if _is_address(host):
                self._known[host] = (host,)
            else:
                self._names.append(host)

    def addresses(self, host: str) -> tuple[str, ...]:
        """What is known of `host` now, in the order the system prefers; empty when it has never been found."""
        return self._known.get(host, ())

    async def look_up(self) -> None:
        """Ask for all names once."""
        loop = asyncio.get_running_loop()
        for name in self._names:
            try:
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:  # UnicodeError: "mb1..example" cannot be a name
                _logger.warning("backend %s: no address: %s", name, getattr(error, "strerror", None) or error)
            else:
                self._known[name] = tuple(dict.fromkeys(str(address[0]) for *_, address in found))

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        with suppress(asyncio.CancelledError):
            while self._names:
                await self.look_up()
                await asyncio.sleep(_REFRESH)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

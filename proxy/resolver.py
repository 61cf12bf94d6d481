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
    """Keeps the addresses of a set of hosts; while a look-up fails, the last known ones go on being used."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._known: dict[str, tuple[str, ...]] = {}
        self._names: list[str] = []
        self._news = asyncio.Event()
        self.follow(hosts)

    def addresses(self, host: str) -> tuple[str, ...]:
        """What is known of `host` now, in the order the system prefers; empty when it has never been found."""
        return self._known.get(host, ())

    def follow(self, hosts: Iterable[str]) -> None:
        """These are the hosts from now on; new ones are looked up at once by who runs `run`."""
        known, self._known, self._names = self._known, {}, []
        for host in dict.fromkeys(hosts):
            if _is_address(host):
                self._known[host] = (host,)
                continue
            self._names.append(host)
            if host in known:
                self._known[host] = known[host]
            else:
                self._news.set()

    async def look_up(self) -> None:
        """Ask for all names once."""
        self._news.clear()
        await self._ask(self._names)

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        with suppress(asyncio.CancelledError):
            while True:
                await self.look_up()
                await self._rest()

    async def _rest(self) -> None:
        """Until it is time to look at all names again; meanwhile, new ones are looked up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_REFRESH):
                while await self._news.wait():
                    self._news.clear()
                    await self._ask([name for name in self._names if name not in self._known])

    async def _ask(self, names: Iterable[str]) -> None:
        loop = asyncio.get_running_loop()
        for name in tuple(names):
            try:
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:  # UnicodeError: "mb1..example" cannot be a name
                _logger.warning("backend %s: no address: %s", name, getattr(error, "strerror", None) or error)
            else:
                self._known[name] = tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

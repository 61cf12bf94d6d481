"""Addresses of backends are known before a login needs them, and a look-up that fails takes nothing away."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from proxy.resolver import Resolver
from tests.proxy.sockets import until


class Names:
    """A name service for the running loop: what it knows, and how often it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **known: list[str]) -> None:
        self.known = known
        self.asked: list[str] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._getaddrinfo)

    async def _getaddrinfo(self, host: str, port: None, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in self.known[host]]


async def test_addresses_need_no_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch)
    resolver = Resolver(["192.0.2.1", "2001:db8::1"])
    await resolver.look_up()
    assert names.asked == []
    assert resolver.addresses("192.0.2.1") == ("192.0.2.1",)
    assert resolver.addresses("2001:db8::1") == ("2001:db8::1",)


async def test_a_name_has_its_addresses_in_the_systems_order_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, mb1=["2001:db8::1", "192.0.2.1", "192.0.2.1"])
    resolver = Resolver(["mb1", "mb1"])
    assert resolver.addresses("mb1") == ()
    await resolver.look_up()
    assert resolver.addresses("mb1") == ("2001:db8::1", "192.0.2.1")
    assert names.asked == ["mb1"]


async def test_what_was_known_stays_while_a_look_up_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = Names(monkeypatch, mb1=["192.0.2.1"], mb2=["192.0.2.2"])
    resolver = Resolver(["mb1", "mb2"])
    await resolver.look_up()
    del names.known["mb1"]
    names.known["mb2"] = ["192.0.2.3"]
    await resolver.look_up()
    assert resolver.addresses("mb1") == ("192.0.2.1",)
    assert resolver.addresses("mb2") == ("192.0.2.3",)
    assert "backend mb1: no address: Name or service not known" in caplog.text


async def test_a_name_that_cannot_be_one_is_told_of_and_hinders_no_other(caplog: pytest.LogCaptureFixture) -> None:
    resolver = Resolver(["mb1..example", "x" * 64 + ".example", "localhost"])
    await resolver.look_up()
    assert resolver.addresses("mb1..example") == ()
    assert "127.0.0.1" in resolver.addresses("localhost")
    assert "backend mb1..example: no address" in caplog.text


async def test_names_are_asked_for_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, mb1=["192.0.2.1"])
    resolver = Resolver(["mb1"])
    running = asyncio.create_task(resolver.run())
    await until(lambda: resolver.addresses("mb1"))
    assert not running.done()
    running.cancel()
    await running
    assert names.asked == ["mb1"]


async def test_new_names_are_looked_up_at_once_and_others_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, mb1=["192.0.2.1"], mb2=["192.0.2.2"])
    resolver = Resolver(["mb1", "gone.example"])
    running = asyncio.create_task(resolver.run())
    await until(lambda: resolver.addresses("mb1") and "gone.example" in names.asked)
    resolver.follow(["mb2", "mb1", "192.0.2.9"])
    assert resolver.addresses("mb1") == ("192.0.2.1",)
    assert resolver.addresses("192.0.2.9") == ("192.0.2.9",)
    await until(lambda: resolver.addresses("mb2"))
    resolver.follow(["mb2"])
    assert resolver.addresses("mb1") == resolver.addresses("192.0.2.9") == ()
    assert names.asked == ["mb1", "gone.example", "mb2"]
    running.cancel()
    await running


async def test_all_names_are_looked_up_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.resolver._REFRESH", 0.01)
    names = Names(monkeypatch, mb1=["192.0.2.1"])
    resolver = Resolver(["mb1"])
    running = asyncio.create_task(resolver.run())
    await until(lambda: len(names.asked) >= 3)
    running.cancel()
    await running

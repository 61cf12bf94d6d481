"""A server finds a script by the digest that we compute."""

from __future__ import annotations

import shutil

import pytest

from director.stores import scripts
from director.stores.scripts import Script
from tests.integration.redis import RedisServer

ALL = [value for value in vars(scripts).values() if isinstance(value, Script)]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="Debian package redis-server is not installed"),
]


def test_digests_are_those_of_the_server_which_understands_every_script() -> None:
    with RedisServer() as server:
        assert [server.cli("SCRIPT", "LOAD", script.source).strip() for script in ALL] == [
            script.digest for script in ALL
        ]

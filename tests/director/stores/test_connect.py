"""The clients for a Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import RedisCluster

from director.stores.connect import connect, connect_to_one
from director.stores.settings import RedisSettings


def test_each_kind_has_its_client() -> None:
    assert isinstance(connect(RedisSettings(url="redis+cluster://a,b")), RedisCluster)
    assert not isinstance(connect(RedisSettings(url="redis+sentinel://a,b/main")), RedisCluster)
    assert not isinstance(connect(RedisSettings(url="rediss://a")), RedisCluster)


def test_a_client_verifies_who_it_talks_to(tmp_path: Path) -> None:
    client = connect_to_one(RedisSettings(url="rediss://a", ca_file=tmp_path / "ca.pem"), "b", 7)
    options = client.connection_pool.connection_kwargs
    assert (options["ssl_cert_reqs"], options["ssl_check_hostname"]) == ("required", True)
    assert options["ssl_ca_certs"] == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(("username", "expected"), [("", ("secret",)), ("vestibule", ("vestibule", "secret"))])
def test_the_password_is_read_when_it_is_needed(tmp_path: Path, username: str, expected: tuple[str, ...]) -> None:
    path = tmp_path / "redis.secret"
    client = connect(RedisSettings(url="redis://a", username=username, password_file=path))
    path.write_text("secret\n")
    provider: Any = client.get_connection_kwargs()["credential_provider"]
    assert provider.get_credentials() == expected
    assert "secret" not in repr(vars(provider)).replace(str(path), "")

"""The store that the configuration names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from director.settings import DirectorSettings
from director.stores.kept import KeptStore
from director.stores.opening import open_store


def test_a_node_that_is_alone_keeps_everything_itself(tmp_path: Path) -> None:
    assert isinstance(open_store(DirectorSettings(), tmp_path / "backends.json"), KeptStore)


def test_nodes_that_share_a_store_have_it_in_redis(tmp_path: Path) -> None:
    store = open_store(DirectorSettings(store="redis://127.0.0.1:6379/0"), tmp_path / "backends.json")
    assert type(store).__name__ == "RedisStore"


def test_who_needs_no_network_loads_none() -> None:
    question = "import sys, director; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", question], check=False).returncode == 0

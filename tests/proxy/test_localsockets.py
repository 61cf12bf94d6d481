"""The sockets in the run directory: whose they are, and what is made of those that are there already."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import localsockets
from proxy.localsockets import CONTROL, DIRECTOR, Occupied, identity, open_local, open_local_sockets
from proxy.settings import NodeSettings

NODE = NodeSettings(user="")


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="vest-"))
    yield made
    shutil.rmtree(made)


def test_only_the_owner_may_connect(folder: Path) -> None:
    path = folder / "run" / "a.sock"
    with open_local(path, NODE) as listening:
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.stat().st_uid == os.geteuid()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            listening.setblocking(True)
            listening.accept()[0].close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives away")
def test_it_belongs_to_the_unprivileged_user(folder: Path) -> None:
    with open_local(folder / "a.sock", NodeSettings(user="nobody", group="nogroup")):
        assert (folder / "a.sock").stat().st_uid != 0


def test_what_a_dead_daemon_left_is_replaced(folder: Path) -> None:
    path = folder / "a.sock"
    open_local(path, NODE).close()
    before = identity(path)
    with socket.create_server(("127.0.0.1", 0)), open_local(path, NODE):
        assert before is not None
        assert identity(path) is not None


def test_where_somebody_listens_nobody_else_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localsockets, "_PATIENCE", 0.0)
    path = folder / "a.sock"
    with open_local(path, NODE), pytest.raises(Occupied, match="another vestibule runs here"):
        open_local(path, NODE)
    assert path.exists()


def test_a_daemon_that_is_about_to_end_is_waited_for(folder: Path) -> None:
    path = folder / "a.sock"
    older = open_local(path, NODE)
    with open_local(path, NODE, pause=lambda _: older.close()):
        pass


def test_a_full_queue_is_somebody_who_listens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localsockets, "_BACKLOG", 0)
    monkeypatch.setattr(localsockets, "_PATIENCE", 0.0)
    path = folder / "a.sock"
    with open_local(path, NODE), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        with pytest.raises(Occupied):
            open_local(path, NODE)


def test_a_file_that_is_no_socket_stays(folder: Path) -> None:
    (folder / "a.sock").write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        open_local(folder / "a.sock", NODE)
    assert (folder / "a.sock").read_text() == "precious"


def test_a_path_that_is_too_long_is_named_with_a_remedy(folder: Path) -> None:
    with pytest.raises(OSError, match=r"at most 107 bytes; set node\.run_dir"):
        open_local(folder / ("x" * 100) / "a.sock", NODE)


def test_a_place_where_none_can_be_made_leaves_none_open(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(OSError):
        open_local(folder / "file" / "a.sock", NODE)


def test_the_nodes_two_sockets_come_and_go_together(folder: Path) -> None:
    both = open_local_sockets(NodeSettings(user="", run_dir=folder))
    assert sorted(path.name for path in folder.iterdir()) == [CONTROL, DIRECTOR]
    assert both.director.getsockname() == str(folder / DIRECTOR)
    both.remove()
    both.remove()
    assert list(folder.iterdir()) == []
    both.close()
    assert {sock.fileno() for sock in both} == {-1}


def test_what_is_not_there_has_no_identity(folder: Path) -> None:
    assert identity(folder / "a.sock") is None

"""Changes to entries, as the other readers of the directory see them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ldapmap import DirectorySettings, open_directory
from ldapmap.client.ber import BerError
from loadtest.editor import WINDOW, EditFailed, Editor, modify_request, result_code
from loadtest.people import PEOPLE, SERVICE_DN, dn, ldif, uid
from loadtest.slapd import ROOT_DN, ROOT_PASSWORD, Slapd, missing

needs_slapd = pytest.mark.skipif(missing() != "", reason=missing())
USERS = WINDOW + 20


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with Slapd(ldif(USERS)) as slapd:
        yield slapd


async def shards(server: Slapd, numbers: range) -> set[str]:
    settings = DirectorySettings(
        kind="ldap",
        servers=(server.ldaps,),
        base=PEOPLE,
        bind_dn=SERVICE_DN,
        bind_password_file=server.password_file,
    )
    directory = open_directory(settings, server.context)
    await directory.start()
    found = {(await directory.find(uid(number))).shard for number in numbers}
    await directory.close()
    return found


@needs_slapd
async def test_a_change_is_done_when_it_returns(server: Slapd) -> None:
    with Editor(server.socket, ROOT_DN, ROOT_PASSWORD) as editor:
        editor.replace(dn(3), "mailHost", "elsewhere")
    assert await shards(server, range(3, 4)) == {"elsewhere"}


@needs_slapd
async def test_many_changes_are_in_progress_at_once(server: Slapd) -> None:
    with Editor(server.socket, ROOT_DN, ROOT_PASSWORD) as editor:
        editor.replace_all((dn(number), "mailHost", "moved") for number in range(USERS))
    assert await shards(server, range(USERS)) == {"moved"}


@needs_slapd
def test_a_change_that_is_refused_is_told(server: Slapd) -> None:
    with pytest.raises(EditFailed, match="32"), Editor(server.socket, ROOT_DN, ROOT_PASSWORD) as editor:
        editor.replace(dn(USERS), "mailHost", "elsewhere")
    with pytest.raises(EditFailed, match="49"):
        Editor(server.socket, ROOT_DN, "something else")


def test_a_server_that_hangs_up_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        server = threading.Thread(target=hang_up, args=(listener,))
        server.start()
        with pytest.raises(EditFailed, match="closed the connection"):
            Editor(tmp_path / "socket", ROOT_DN, ROOT_PASSWORD)
        server.join()


def hang_up(listener: socket.socket) -> None:
    with listener.accept()[0] as connection:
        connection.recv(4096)


def test_a_change_is_one_replacement() -> None:
    assert modify_request(7, "o=x", "sn", "y") == (
        b"\x30\x1c\x02\x01\x07\x66\x17\x04\x03o=x\x30\x10\x30\x0e\x0a\x01\x02\x30\x09\x04\x02sn\x31\x03\x04\x01y"
    )


def test_the_code_is_read_from_any_result() -> None:
    assert result_code(b"\x30\x0c\x02\x01\x02\x67\x07\x0a\x01\x20\x04\x00\x04\x00") == 32
    with pytest.raises(BerError):
        result_code(b"\x30\x05\x02\x01\x02\x67\x00")

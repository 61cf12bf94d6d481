"""Backend, directory and certificate of a comparison."""

from __future__ import annotations

import socket
import stat

from loadtest.compare.surroundings import ADDRESS, Directory, Surroundings
from loadtest.responder import INVALID_CREDENTIALS, SUCCESS


def test_the_backend_greets(around: Surroundings) -> None:
    with socket.create_connection((ADDRESS, around.imap), 20.0) as client:
        assert client.recv(100).startswith(b"* OK")


def test_the_directory_listens_and_others_may_look_into_the_folder(around: Surroundings) -> None:
    socket.create_connection((ADDRESS, around.ldap), 20.0).close()
    assert stat.S_IMODE(around.folder.stat().st_mode) == 0o755
    assert stat.S_IMODE(around.certificate.key.stat().st_mode) == 0o600


def test_one_password_is_wrong_and_the_backend_is_named() -> None:
    directory = Directory()
    assert (directory.verify(b"", b"any"), directory.verify(b"", b"wrong")) == (SUCCESS, INVALID_CREDENTIALS)
    assert ADDRESS.encode() in (directory.find(b"user") or b"")

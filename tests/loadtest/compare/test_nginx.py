"""The product as it is measured: it serves, it asks the directory, and it can be measured."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from tempfile import mkdtemp

import pytest

from loadtest.compare import nginx
from loadtest.compare.clients import Clients
from loadtest.compare.nginx import NGINX, auth_http, compiled
from loadtest.compare.product import NotHere
from loadtest.compare.surroundings import ADDRESS, Surroundings

from .trial import login_answer, login_cost, trial


def test_a_login_is_checked_by_the_directory_and_costs_something(around: Surroundings, fleet: Clients) -> None:
    with trial(NGINX, around) as running:
        assert login_answer(around, running, "right").startswith(b"a OK")
        assert login_answer(around, running, "wrong").startswith(b"a NO")
        assert login_cost(NGINX, running, around, fleet) > 0
        assert running.pss_kib() > 0


def test_without_a_compiler_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotHere, match="no C compiler"):
        compiled(tmp_path)


def test_what_the_compiler_complains_about_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("cc") is None:
        pytest.skip("Debian packages gcc and libc6-dev are needed")
    broken = tmp_path / "broken.c"
    broken.write_text("no program")
    monkeypatch.setattr(nginx, "SOURCE", broken)
    with pytest.raises(NotHere, match=r"broken\.c"):
        compiled(tmp_path)


@pytest.mark.parametrize(
    ("user", "password", "answer"),
    [
        ("user0000001", "right", f"Auth-Status: OK\r\nAuth-Server: {ADDRESS}\r\nAuth-Port: "),
        ("user0000001", "wrong", "Auth-Status: Invalid credentials\r\n"),
        ("user0000001", "%77rong", "Auth-Status: Invalid credentials\r\n"),
        ("user0000001", "", "Auth-Status: Invalid credentials\r\n"),
        ("", "right", "Auth-Status: Invalid credentials\r\n"),
    ],
)
def test_the_auth_server_asks_the_directory(around: Surroundings, user: str, password: str, answer: str) -> None:
    request = f"GET /auth HTTP/1.0\r\nAuth-User: {user}\r\nAuth-Pass: {password}\r\n\r\n".encode()
    folder = Path(mkdtemp(dir=around.folder))
    try:
        with auth_http(around, folder), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20.0)
            client.connect(str(folder / "auth"))
            for byte in request:  # it may come in any pieces
                client.sendall(bytes([byte]))
            with client.makefile("rb") as stream:
                assert answer in stream.read().decode()
    except NotHere as reason:
        pytest.skip(str(reason))

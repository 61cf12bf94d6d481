"""The service manager hears of us where it listens, and nothing happens where there is none."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from proxy.notify import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_states_arrive_in_one_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"vestibule-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name if abstract else name)
        notify("READY=1", "STATUS=Accepting connections.")
        assert manager.recv(1000) == b"READY=1\nSTATUS=Accepting connections."


def test_without_a_service_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/nowhere/at/all", "@vestibule-nobody-listens-here"])
def test_a_service_manager_that_is_not_there_is_no_matter(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")

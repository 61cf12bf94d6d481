"""The demo, as somebody sees it who starts it for the first time."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadtest import demo
from loadtest.demo import DemoFailed, choice, instructions, main, serving, show
from loadtest.demo_site import DemoSite, User, open_site
from loadtest.visit import SCRIPTS


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The demo in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "loadtest.demo", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_once_it_shows_a_login_of_every_user_in_every_protocol_and_ends() -> None:
    async with running("--once") as process:
        told, _ = await asyncio.wait_for(process.communicate(), 120)
        text = told.decode()
        assert process.returncode == 0, text
        assert "alice: the directory says shard north; Vestibule chooses north-a" in text
        assert "bob: the directory says shard north; Vestibule chooses north-b (the entry prefers it)" in text
        assert len(re.findall(r"logged in, answered by (?:north|south)-[ab]\n", text)) == 15
        assert text.endswith("15 of 15 logins succeeded\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_says_how_to_connect_and_runs_until_it_is_interrupted(number: signal.Signals) -> None:
    async with running() as process:
        assert process.stdout is not None
        told = await asyncio.wait_for(process.stdout.readuntil(b"the log follows.\n"), 120)
        match = re.search(r"openssl s_client .* -connect 127\.0\.0\.1:(\d+) .* -CAfile (\S+)", told.decode())
        assert match is not None
        assert Path(match[2]).exists()
        _, writer = await asyncio.open_connection("127.0.0.1", int(match[1]))
        writer.close()
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        assert not Path(match[2]).exists()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", int(match[1]))


async def test_interrupted_in_the_middle_it_leaves_nothing_behind() -> None:
    async with running() as process:
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readuntil(b"logged in"), 120)
        (daemon,) = [pid for pid in os.listdir("/proc") if pid.isdecimal() and parent_of(pid) == process.pid]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 130
        assert not Path("/proc", daemon).exists()


def parent_of(pid: str) -> int:
    """The parent of a process that looks like the demo's daemon; 0 for any other."""
    if "serve" not in command_line(pid).split("\0"):
        return 0
    return int(re.findall(r"PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0])


async def test_a_login_that_fails_is_counted_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_site(tmp_path, workers=1) as site, serving(site.config):
        users = (User("alice", "wrong", "north"), site.users[1])
        changed = DemoSite(site.config, site.ca_file, site.ports, users, site.backends)
        assert await show(changed) == len(SCRIPTS)
    assert "imap         FAILED: a NO [AUTHENTICATIONFAILED]" in capsys.readouterr().out


async def test_an_answer_of_another_backend_counts_as_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lying(*_: object) -> dict[str, object]:
        return {"steps": [{"step": "choice", "result": "elsewhere: so it is said"}]}

    monkeypatch.setattr(demo, "route", lying)
    async with open_site(tmp_path, workers=1) as site, serving(site.config):
        one = DemoSite(site.config, site.ca_file, site.ports, site.users[:1], site.backends)
        assert await show(one) == len(SCRIPTS)
    assert "answered by north-a: NOT the one that was chosen" in capsys.readouterr().out


async def test_a_configuration_that_cannot_be_used_ends_with_what_the_daemon_said(tmp_path: Path) -> None:
    config = tmp_path / "vestibule.toml"
    config.write_text("[nonsense]\n")
    with pytest.raises(DemoFailed, match="nonsense"):
        async with serving(config):
            pass
    with pytest.raises(DemoFailed, match="nonsense"):
        await demo.route(config, "alice")


async def test_a_daemon_that_does_not_become_ready_or_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\ntrap '' TERM\necho $$\nexec >/dev/null 2>&1\nwhile :; do sleep 1; done\n")
    program.chmod(0o755)
    monkeypatch.setattr(demo, "START", 0.2)
    monkeypatch.setattr(demo, "STOP", 0.2)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(DemoFailed, match="did not"):
        async with serving(tmp_path):
            pass
    assert not [pid for pid in os.listdir("/proc") if pid.isdecimal() and str(program) in command_line(pid)]


def command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_user_without_a_backend_is_a_failure() -> None:
    with pytest.raises(DemoFailed, match="lost has no backend"):
        choice({"typed": "lost", "steps": [{"step": "refused", "result": "no such shard"}]})


def test_everybody_is_listed_with_a_password(tmp_path: Path) -> None:
    ports = dict.fromkeys(["imaps", "imap", "pop3s", "pop3", "sieves", "sieve", "metrics"], 1)
    site = DemoSite(tmp_path / "c", tmp_path / "ca", ports, (User("alice", "her password", "north"),), ())
    assert re.search(r"alice +password: her password", instructions(site))


def test_what_hinders_the_demo_is_said_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(once: bool) -> int:
        raise OSError("no address")

    monkeypatch.setattr(demo, "demo", failing)
    assert main(["--once"]) == 2
    assert capsys.readouterr().err == "demo: no address\n"

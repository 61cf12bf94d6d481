"""The daemon as a whole, run as an operator runs it, with simulated mail servers behind it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from director import Unanswered, ask
from loadtest.backends import Backend
from proxy.estate import prepare
from proxy.log import Sink
from proxy.settings import NodeSettings
from proxy.supervisor import own_log, write_pid
from tests.integration.processes import children, title
from tests.proxy.front import Certificates, login, site
from tests.proxy.sockets import until
from tests.proxy.talk import Peer, Server, silent

CONFIG = """\
[node]
user = ""
workers = 2
run_dir = "run"

[[listener]]
protocol = "imap"
address = "127.0.0.1:{port}"

[[certificate]]
chain = "mail.pem"
key = "mail.key"

[directory]
kind = "ldif"
file = "users.ldif"

[backend_login]
tls = "off"

[timeouts]
drain = 0.5

[admin]
metrics = ""

[log]
file = "log"

[[shard]]
name = "s1"

[[shard.backend]]
name = "mb1a"
host = "127.0.0.1"
ports = {{ imap = {backend} }}
"""

USERS = """\
dn: uid=alice,dc=example
objectClass: inetOrgPerson
uid: alice
mailHost: s1
userPassword: Tr0ub4dor&3 correct-horse
"""


class Daemon:
    """`vestibule serve` in a folder of its own, and a service manager that listens to it."""

    def __init__(self, folder: Path, backend: Backend) -> None:
        self.folder = folder
        self.certificates = Certificates(folder)
        self.renew()
        self.port = free_port()
        (folder / "users.ldif").write_text(USERS)
        self.config = folder / "vestibule.toml"
        self.config.write_text(CONFIG.format(port=self.port, backend=backend.ports["imap"]))
        self.config.chmod(0o600)
        self.told: list[str] = []
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._manager.bind(str(folder / "notify"))

    def start(self) -> None:
        """Start it."""
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "serve", "--config", str(self.config)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Leave nothing of it behind."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._manager.close()

    def renew(self) -> bytes:
        """A new certificate in the files the configuration names; the certificate."""
        files = self.certificates.authority.issue(self.folder, "renewed", dns=("localhost",), ips=("127.0.0.1",))
        files.chain.replace(self.folder / "mail.pem")
        files.key.replace(self.folder / "mail.key")
        return (self.folder / "mail.pem").read_bytes()

    def log(self) -> str:
        """What it has written."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def notified(self, state: str) -> int:
        """How often the service manager has been told so."""
        while True:
            try:
                self.told.append(self._manager.recv(1000).decode())
            except BlockingIOError:
                return sum(state in told.split("\n") for told in self.told)

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return [pid for pid in children(self.process.pid) if title(pid).startswith("vestibule-w")]

    def director(self) -> int:
        """The process id of the director; 0 while there is none."""
        return next((pid for pid in children(self.process.pid) if title(pid) == "vestibule-dir"), 0)

    def asked(self, question: str, **details: str) -> list[dict[str, Any]]:
        """What the director answers: the rows, or the answer; nothing while there is none."""
        try:
            answers = list(ask(self.folder / "run" / "control.sock", {"ask": question, **details}))
        except Unanswered:
            return []
        return [row for answer in answers for row in answer.get("rows", [answer])]

    async def ready(self) -> None:
        """Wait until it says so."""
        await until(lambda: "vestibule: ready" in self.log() or self.process.poll() is not None, 20)
        assert self.process.poll() is None, self.log()

    async def connect(self) -> Peer:
        """A client in TLS that has read the greeting."""
        client = await Peer.connect(("127.0.0.1", self.port))
        await client.start_tls(self.certificates.client("imap"), host="localhost")
        await client.line()
        return client

    async def logged_in(self) -> Peer:
        """A client whose login has succeeded."""
        client = await self.connect()
        assert b"a OK" in await client.ask(login())
        return client


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@asynccontextmanager
async def daemon(folder: Path, prepared: Callable[[Daemon], object] = lambda _: None) -> AsyncIterator[Daemon]:
    """A daemon with a backend; `prepared` is called before it starts."""
    async with Backend("mb1a") as backend:
        started = Daemon(folder, backend)
        prepared(started)
        started.start()
        try:
            yield started
        finally:
            started.stop()


async def in_both_workers(running: Daemon) -> dict[int, list[Peer]]:
    """Sessions in each worker, by the worker's process id; found by who has more descriptors."""
    sessions: dict[int, list[Peer]] = {pid: [] for pid in running.workers()}
    while not all(sessions.values()):
        before = {pid: sockets_of(pid) for pid in sessions}
        client = await running.logged_in()
        (pid,) = (pid for pid in sessions if sockets_of(pid) >= before[pid] + 2)  # a client and a backend
        sessions[pid].append(client)
    return sessions


def sockets_of(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def ended(pid: int) -> bool:
    """Whether a process has ended, whoever may still have to ask for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


async def alive(client: Peer) -> bool:
    """Whether a session still answers."""
    return (await client.ask(b"n NOOP")).startswith(b"n OK")


async def test_a_life_from_ready_to_a_drain_in_good_order(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        await running.ready()
        assert running.notified("READY=1") == 1
        assert (tmp_path / "run" / "vestibule.pid").read_text() == f"{running.process.pid}\n"
        inside, waiting = await running.logged_in(), await running.connect()
        running.process.send_signal(signal.SIGTERM)
        assert (await waiting.rest()).startswith(b"* BYE [UNAVAILABLE]")
        await inside.rest()  # the drain time is over
        await until(lambda: running.process.poll() is not None)
        assert running.process.returncode == 0
        assert running.notified("STOPPING=1") == 1
        assert not (tmp_path / "run" / "vestibule.pid").exists()
        assert '"closed_by":"shutdown"' in running.log()


async def test_a_killed_worker_is_replaced_while_the_others_sessions_live(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        await running.ready()
        sessions = await in_both_workers(running)
        victim, survivor = sessions
        os.kill(victim, signal.SIGKILL)
        for client in sessions[victim]:
            assert await client.rest() == b""
        connections = [await Peer.connect(("127.0.0.1", running.port)) for _ in range(20)]
        for client in connections:  # whichever worker's queue they are in
            await client.start_tls(running.certificates.client("imap"), host="localhost")
            assert (await client.line()).startswith(b"* OK")
            client.close()
        for client in sessions[survivor]:
            assert await alive(client)
        assert victim not in running.workers()
        assert survivor in running.workers()
        assert "ended with status -9 and is replaced" in running.log()
        assert running.log().count("vestibule: ready") == 1


async def test_a_killed_director_is_replaced_while_all_sessions_live(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        await running.ready()
        sessions = [await running.logged_in() for _ in range(5)]
        victim = running.director()
        os.kill(victim, signal.SIGKILL)
        late = await running.logged_in()  # waits for the new one
        assert running.director() not in (0, victim)
        for client in (*sessions, late):
            assert await alive(client)
        assert f"director (process {victim}) ended with status -9 and is replaced" in running.log()
        await until(lambda: len(running.asked("who")) == 6)
        assert {row["backend"] for row in running.asked("who")} == {"mb1a"}


async def test_a_director_without_supervisor_serves_those_who_are_left_until_another_does(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        await running.ready()
        client = await running.logged_in()
        await until(lambda: len(running.asked("who")) == 1)
        orphans = [running.director(), *running.workers()]
        running.process.kill()
        running.process.wait()
        assert await alive(client)
        running.start()  # waits until the orphan listens no more
        await until(lambda: running.log().count("vestibule: ready") == 2 or running.process.poll() is not None, 20)
        assert await alive(client)
        later = await running.logged_in()
        await until(lambda: len(running.asked("who")) == 2)  # the older one has been announced to the new director
        await until(lambda: ended(orphans[0]))
        await client.ask(b"a LOGOUT")
        await client.rest()
        client.close()
        await until(lambda: all(map(ended, orphans)))
        assert await alive(later)


async def test_it_leaves_no_sockets_behind(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        await running.ready()
        client = await running.logged_in()
        assert {"director.sock", "control.sock"} <= {file.name for file in (tmp_path / "run").iterdir()}
        running.process.send_signal(signal.SIGTERM)
        await client.rest()
        await until(lambda: running.process.poll() is not None)
        assert [file.name for file in (tmp_path / "run").iterdir()] == ["backends.json"]
        assert "Traceback" not in running.log()


async def test_two_daemons_do_not_share_a_run_directory(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        await running.ready()
        command = [sys.executable, "-m", "proxy", "serve", "--config", str(running.config)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert ended.returncode == 2
        assert "another vestibule runs here" in running.log()
        await running.logged_in()


async def test_what_an_operator_says_of_a_backend_outlives_the_director(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        await running.ready()
        assert running.asked("standby", backend="mb1a") == [{"backend": "mb1a", "admin": "standby"}]
        await until(lambda: "standby" in (tmp_path / "run" / "backends.json").read_text())
        victim = running.director()
        os.kill(victim, signal.SIGKILL)
        await until(lambda: running.director() not in (0, victim))
        await until(lambda: [row["admin"] for row in running.asked("backends")] == ["standby"])


async def test_a_broken_certificate_leaves_the_old_one_and_is_named_and_a_good_one_is_served(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        await running.ready()
        old = await running.connect()
        good = (tmp_path / "mail.pem").read_text()
        (tmp_path / "mail.pem").write_text("no certificate\n")
        running.process.send_signal(signal.SIGHUP)
        await until(lambda: "certificates are not reloaded" in running.log())
        assert str(tmp_path / "mail.pem") in running.log()
        await until(lambda: running.notified("READY=1") == 2)
        assert running.notified("RELOADING=1") == 1
        same = await running.connect()
        assert same.certificate == old.certificate
        (tmp_path / "mail.pem").write_text(good)
        running.renew()
        running.process.send_signal(signal.SIGHUP)
        await until(lambda: "certificates reloaded" in running.log())
        fresh = await running.connect()
        while fresh.certificate == old.certificate:
            fresh = await running.connect()
        assert b"a OK" in await old.ask(login())
        # A worker that is replaced later has the new one too.
        for pid in running.workers():
            os.kill(pid, signal.SIGKILL)
        later = await running.connect()
        assert later.certificate == fresh.certificate


async def test_it_is_not_ready_before_its_workers_are(tmp_path: Path) -> None:
    def broken(prepared: Daemon) -> None:
        (prepared.folder / "users.ldif").write_text("this is no LDIF\n")

    async with daemon(tmp_path, broken) as running:
        await until(lambda: running.log().count("is replaced") >= 2)
        assert running.notified("READY=1") == 0
        assert "vestibule: ready" not in running.log()
        (tmp_path / "users.ldif").write_text(USERS)
        await running.ready()
        await until(lambda: running.notified("READY=1") == 1)
        await running.logged_in()


@pytest.mark.parametrize("broken", ["address", "certificate"])
def test_what_cannot_be_started_ends_with_status_2_and_a_reason(tmp_path: Path, broken: str) -> None:
    daemon = Daemon(tmp_path, Backend("mb1a", ports={"imap": 1143}))
    text = daemon.config.read_text().replace('[log]\nfile = "log"\n', "")
    if broken == "address":
        text = text.replace("127.0.0.1:", "192.0.2.1:")
    else:
        (tmp_path / "mail.pem").write_text("no certificate\n")
    daemon.config.write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", "--config", str(daemon.config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 2
    assert ("cannot start" if broken == "address" else "mail.pem") in ended.stderr
    assert ended.stdout == ""


# --- files ---


def test_the_process_id_is_written_where_scripts_look_for_it(tmp_path: Path) -> None:
    file = write_pid(NodeSettings(run_dir=tmp_path / "run" / "vestibule"))
    assert file == tmp_path / "run" / "vestibule" / "vestibule.pid"
    assert file.read_text() == f"{os.getpid()}\n"


def test_without_a_place_for_it_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert write_pid(NodeSettings(run_dir=tmp_path / "file")) is None
    assert "no process id file" in caplog.text


def test_the_log_file_belongs_to_who_writes_it(tmp_path: Path) -> None:
    estate = prepare(site(Server(silent)), Sink(tmp_path / "log"))
    own_log(estate)
    assert (tmp_path / "log").stat().st_uid == os.geteuid()
    estate.close_listening()

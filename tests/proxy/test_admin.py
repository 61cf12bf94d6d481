"""What the watchers of the daemon are told, and what they cannot do to it."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import pytest

from proxy import admin
from proxy.admin import Pages, open_admin_socket, serve_admin
from proxy.api import Api
from proxy.counters import Counters
from proxy.families import families
from proxy.settings import AdminSettings
from tests.proxy.example import SMALLEST, good_settings

NOW = 1000.0
PATIENCE = 20.0


@pytest.fixture
def counters() -> Counters:
    return Counters(
        families(protocols=["imap"], backends=["mb1"], outcomes=["limit"], certificates=["a.pem"]), workers=2
    )


@pytest.fixture
def pages(counters: Counters) -> Pages:
    return Pages(good_settings(), counters, clock=lambda: NOW)


def set_worker(counters: Counters, slot: int, heartbeat: float, accepting: int = 1, directory: int = 1) -> None:
    slab = counters.workers[slot]
    slab.gauge("worker_heartbeat_seconds").set(heartbeat)
    slab.gauge("worker_accepting").set(accepting)
    slab.gauge("directory_up").set(directory)


def set_director(counters: Counters, heartbeat: float) -> None:
    slab = counters.director
    slab.gauge("director_heartbeat_seconds").set(heartbeat)
    slab.gauge("director_workers").set(2)
    slab.gauge("director_nodes").set(1)
    slab.gauge("director_backend_standing", "up", "mb1").set(1)
    slab.gauge("director_backend_admin", "standby", "mb1").set(1)
    slab.gauge("director_sessions", "mb1").set(17)


def test_the_daemon_is_healthy_while_all_workers_hearts_beat(counters: Counters, pages: Pages) -> None:
    set_worker(counters, 0, NOW - 1)
    assert pages.answer("/healthz").status == 503
    assert pages.answer("/healthz").body == b"worker 1: not started\n"
    set_worker(counters, 1, NOW - 60)
    assert pages.answer("/healthz").body == b"worker 1: heartbeat 60 s ago\n"
    set_worker(counters, 1, NOW)
    assert (pages.answer("/healthz").status, pages.answer("/healthz").body) == (200, b"ok\n")


def test_the_daemon_is_ready_when_one_worker_could_let_a_user_in(counters: Counters, pages: Pages) -> None:
    hindrances = b"no worker takes connections\nno directory server answers\nno director answers\n"
    assert pages.answer("/readyz").body == hindrances
    set_director(counters, NOW)
    set_worker(counters, 0, NOW - 60)
    assert pages.answer("/readyz").status == 503
    set_worker(counters, 1, NOW, directory=0)
    assert pages.answer("/readyz").body == b"no directory server answers\n"
    set_worker(counters, 1, NOW, accepting=0)
    assert pages.answer("/readyz").body == b"no worker takes connections\n"
    set_worker(counters, 1, NOW)
    assert (pages.answer("/readyz").status, pages.answer("/readyz").body) == (200, b"ok\n")
    set_director(counters, NOW - 60)
    assert pages.answer("/readyz").body == b"no director answers\n"
    set_director(counters, NOW)
    counters.supervisor.gauge("draining").set(1)
    assert pages.answer("/readyz").body == b"the daemon is being stopped\n"


def test_the_index_names_the_node_the_workers_and_the_pages(counters: Counters, pages: Pages) -> None:
    set_worker(counters, 0, NOW - 3)
    lines = pages.answer("/?anything").body.decode().splitlines()
    assert lines[0].startswith("Vestibule on ")
    workers = ["worker 0: heartbeat 3 s ago", "worker 1: not started"]
    assert lines[2:] == [*workers, "director: not started", "", "/healthz", "/metrics", "/readyz"]


def test_the_index_says_how_the_director_is_doing(counters: Counters, pages: Pages) -> None:
    set_director(counters, NOW - 2)
    text = pages.answer("/").body.decode()
    assert "director: heartbeat 2 s ago, 2 workers, 1 nodes, store answers\n" in text
    assert "backend mb1: up, standby, 17 sessions\n" in text
    counters.director.gauge("director_store_away").set(1)
    counters.director.gauge("users_on_two_backends").set(3)
    assert "store is away, 3 users on two backends\n" in pages.answer("/").body.decode()


def test_other_pages_are_not_found_and_not_repeated(pages: Pages) -> None:
    answer = pages.answer("/<script>")
    assert answer.status == 404
    assert b"script" not in answer.body


def test_metrics_are_prometheus_text(pages: Pages) -> None:
    answer = pages.answer("/metrics")
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    assert b"# TYPE vestibule_sessions gauge\n" in answer.body


class Running:
    """The server in threads of this process, with what a request and its answer are."""

    def __init__(self, counters: Counters, host: str = "127.0.0.1", *networks: str, api: Api | None = None) -> None:
        settings = AdminSettings(metrics=f"[{host}]:0" if ":" in host else f"{host}:0")
        listening = open_admin_socket(settings)
        assert listening is not None
        self._server = admin._Server(listening, Pages(good_settings(), counters), tuple(map(ip_network, networks)), api)
        self.address = listening.getsockname()[:2]
        self.stop = threading.Event()
        self._thread = threading.Thread(target=admin._answer_until, args=(self.stop, self._server))
        self._thread.start()

    def close(self) -> None:
        self.stop.set()
        self._thread.join(PATIENCE)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE)

    def ask(self, request: bytes) -> bytes:
        with self.connect() as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return everything(connection)


def everything(connection: socket.socket) -> bytes:
    data = b""
    try:
        while received := connection.recv(65536):
            data += received
    except ConnectionResetError:
        pass
    return data


@pytest.fixture
def start(counters: Counters) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def make(*arguments: str, api: Api | None = None) -> Running:
        started.append(Running(counters, *arguments, api=api))
        return started[-1]

    yield make
    for one in started:
        one.close()


def test_a_page_is_fetched_and_the_connection_closed(start: Callable[..., Running]) -> None:
    answer = start().ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert b"Connection: close" in head
    assert body.endswith(b"\n")


def test_a_head_is_a_page_without_its_body(start: Callable[..., Running]) -> None:
    answer = start().ask(b"HEAD /metrics HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


def test_it_answers_on_ipv6_too(start: Callable[..., Running]) -> None:
    assert start("::1").ask(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"CONNECT", b"<script>"])
def test_nothing_but_reading_is_possible(start: Callable[..., Running], method: bytes) -> None:
    answer = start().ask(method + b" /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.0 405 ")
    assert method not in answer.partition(b"\r\n\r\n")[2]


def test_below_api_orders_are_taken_from_whoever_has_the_token(start: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct-horse-battery-staple")
    server = start(api=Api(good_settings(SMALLEST + '[admin]\napi_token_file = "token"\n', tmp_path)))
    order = b"POST /api/kick HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    bearer = b"authorization: Bearer correct-horse-battery-staple\r\n\r\n"
    stranger = server.ask(order + b"\r\n{}")
    assert stranger.startswith(b"HTTP/1.0 401 ")
    assert b"WWW-Authenticate: Bearer\r\n" in stranger
    assert b"Content-Type: application/json\r\n" in stranger
    assert b"expected: target (str)" in server.ask(order + bearer + b"{}")
    with server.connect() as slow:
        slow.sendall(order + bearer)
        slow.sendall(b"{")
        slow.sendall(b"}")
        assert everything(slow).startswith(b"HTTP/1.0 400 ")
    assert server.ask(b"GET /api/nothing HTTP/1.1\r\n" + bearer).startswith(b"HTTP/1.0 404 ")
    assert server.ask(b"HEAD /api/kick HTTP/1.1\r\n" + bearer).startswith(b"HTTP/1.0 405 ")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"GET / FTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\xff" * 9,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"GET / HTTP/1.0\r\n: \0\r\n\r\n", b"GET http://[ HTTP/1.0\r\n\r\n",
    ],
)  # fmt: skip
def test_rubbish_is_refused_and_the_next_request_answered(start: Callable[..., Running], request_bytes: bytes) -> None:
    server = start()
    with server.connect() as connection:
        with suppress(OSError):  # it may have had enough already
            connection.sendall(request_bytes)
            connection.shutdown(socket.SHUT_WR)
        answer = everything(connection)
    assert not answer.startswith(b"HTTP/1.0 200") or b"Vestibule on" in answer
    assert server.ask(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200")


def test_who_is_silent_is_dropped_and_holds_up_nobody(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "REQUEST_TIME", 0.05)
    server = start()
    with server.connect() as silent, server.connect() as slow:
        slow.sendall(b"GET / HT")
        assert server.ask(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200")
        assert everything(silent) == b""
        assert everything(slow) == b""


def test_more_than_so_many_at_once_are_closed(start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "MOST_CONNECTIONS", 1)
    server = start()
    with server.connect() as first, server.connect() as second:
        assert everything(second) == b""
        first.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert everything(first).startswith(b"HTTP/1.0 200")


def test_a_thread_that_cannot_be_started_takes_no_place(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(socketserver.ThreadingMixIn, "process_request", fail)
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listening, ours, theirs:
        server = admin._Server(listening, Pages(good_settings(), counters), ())
        for _ in range(2 * admin.MOST_CONNECTIONS):
            with pytest.raises(RuntimeError):
                server.process_request(ours, ("127.0.0.1", 1))


def test_only_named_networks_and_this_machine_may_ask(counters: Counters) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = admin._Server(listening, Pages(good_settings(), counters), (ip_network("192.0.2.0/24"),))
        allowed = [
            server.verify_request(None, (host, 1)) for host in ("127.0.0.1", "192.0.2.7", "::ffff:192.0.2.7", "::1")
        ]
        assert allowed == [True] * 4
        assert not server.verify_request(None, ("198.51.100.1", 1))
        assert not server.verify_request(None, ("2001:db8::1", 1, 0, 0))


def test_without_an_address_there_is_nothing_to_serve(counters: Counters) -> None:
    assert open_admin_socket(AdminSettings(metrics="")) is None
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        assert serve_admin(good_settings(SMALLEST + '[admin]\nmetrics = ""\n'), counters) == 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_a_process_of_its_own_answers_until_it_is_told_to_stop(counters: Counters) -> None:
    listening = open_admin_socket(AdminSettings(metrics="127.0.0.1:0"))
    assert listening is not None
    child = os.fork()
    if child == 0:
        os._exit(serve_admin(good_settings(), counters, listening))
    with socket.create_connection(listening.getsockname(), PATIENCE) as connection:
        listening.close()
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.0 503")
    os.kill(child, signal.SIGTERM)
    assert os.waitpid(child, 0)[1] == 0

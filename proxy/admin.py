"""The admin process: an HTTP address for the machines that watch the daemon.

Nothing can be changed here, but by who has the token of `proxy.api`.
"""

from __future__ import annotations

import io
import ipaddress
import logging
import os
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import FrameType

from proxy.api import PREFIX, Api, Request, receive
from proxy.counters import Counters, live_workers
from proxy.metrics import CONTENT_TYPE, exposition
from proxy.settings import AdminSettings, Network, Settings

HEARTBEAT_PATIENCE = 10.0
"""Seconds a worker may be silent before it counts as stuck; it beats about once a second."""

REQUEST_TIME = 5.0
"""Seconds until a request's head is complete, and for each piece of the answer."""

LONGEST_HEAD = 8192
"""Bytes of a request's line and header fields."""

MOST_CONNECTIONS = 32
"""Requests answered at the same time; more are closed unanswered."""

PLAIN = "text/plain; charset=utf-8"
JSON = "application/json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page says."""

    status: int
    body: bytes
    content_type: str = PLAIN
    headers: Mapping[str, str] = field(default_factory=lambda: {"Allow": "GET, HEAD"})


class Pages:
    """The pages by their paths; every one reads the shared counters at the moment it is asked for."""

    def __init__(self, settings: Settings, counters: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._counters = counters
        self._clock = clock
        self._pages: Mapping[str, Callable[[], Answer]] = {
            "/": self._index,
            "/metrics": self._metrics,
            "/healthz": lambda: _verdict(self._ailments()),
            "/readyz": lambda: _verdict(self._hindrances()),
        }

    def answer(self, target: str) -> Answer:
        """The page for a request target; a query is ignored."""
        page = self._pages.get(target.partition("?")[0])
        return page() if page else Answer(404, b"There is no such page.\n")

    def _metrics(self) -> Answer:
        return Answer(200, exposition(self._counters), CONTENT_TYPE)

    def _index(self) -> Answer:
        lines = [
            f"Vestibule on {self._settings.node.name}",
            "",
            *self._workers(),
            self._director(),
            *self._backends(),
            "",
            *sorted(set(self._pages) - {"/"}),
        ]
        return Answer(200, ("\n".join(lines) + "\n").encode())

    def _workers(self) -> Iterator[str]:
        now = self._clock()
        for slot, slab in enumerate(self._counters.workers):
            heartbeat = slab.number("worker_heartbeat_seconds")
            yield f"worker {slot}: " + (
                f"heartbeat {max(0.0, now - heartbeat):.0f} s ago" if heartbeat else "not started"
            )

    def _director(self) -> str:
        slab, number = self._counters.director, self._counters.director.number
        heartbeat = slab.number("director_heartbeat_seconds")
        if not heartbeat:
            return "director: not started"
        store = "store is away" if number("director_store_away") else "store answers"
        state = f"{number('director_workers'):.0f} workers, {number('director_nodes'):.0f} nodes, {store}"
        split = number("users_on_two_backends")
        return f"director: heartbeat {max(0.0, self._clock() - heartbeat):.0f} s ago, {state}" + (
            f", {split:.0f} users on two backends" if split else ""
        )

    def _backends(self) -> Iterator[str]:
        """The backends of the configuration, and how many others are in which state."""
        number = self._counters.director.number
        for (name,) in self._labels("director_sessions"):
            words = [
                word
                for family in ("director_backend_standing", "director_backend_admin")
                for word, backend in self._labels(family)
                if backend == name and number(family, (word, backend))
            ]
            if words:
                sessions = number("director_sessions", (name,))
                yield f"backend {name}: {', '.join(words)}, {sessions:.0f} sessions"

    def _labels(self, name: str) -> tuple[tuple[str, ...], ...]:
        return next(family.values for family in self._counters.families if family.name == name)

    def _has_director(self) -> bool:
        return self._clock() - self._counters.director.number("director_heartbeat_seconds") <= HEARTBEAT_PATIENCE

    def _ailments(self) -> list[str]:
        """Workers that do not go round their loop."""
        alive = {slot for slot, _ in live_workers(self._counters, self._clock(), HEARTBEAT_PATIENCE)}
        return [line for slot, line in enumerate(self._workers()) if slot not in alive]

    def _hindrances(self) -> list[str]:
        """Why a balancer should send nobody here."""
        alive = [slab for _, slab in live_workers(self._counters, self._clock(), HEARTBEAT_PATIENCE)]
        reasons = {
            "the daemon is being stopped": bool(self._counters.supervisor.number("draining")),
            "no worker takes connections": not any(slab.number("worker_accepting") for slab in alive),
            "no directory server answers": not any(slab.number("directory_up") for slab in alive),
            "no director answers": not self._has_director(),
        }
        return [reason for reason, applies in reasons.items() if applies]


def _verdict(problems: list[str]) -> Answer:
    return Answer(503, ("\n".join(problems) + "\n").encode()) if problems else Answer(200, b"ok\n")


def open_admin_socket(settings: AdminSettings) -> socket.socket | None:
    """The listening socket of the admin address, or None when it is switched off; raises OSError."""
    if settings.endpoint is None:
        return None
    family = socket.AF_INET6 if ":" in settings.endpoint[0] else socket.AF_INET
    return socket.create_server(settings.endpoint, family=family, dualstack_ipv6=settings.endpoint[0] == "::")


def serve_admin(settings: Settings, counters: Counters, listening: socket.socket | None = None) -> int:
    """Answers until SIGTERM, or until the supervisor is gone; to be called in a process of its own. The exit code.

    Without a socket the configured address is opened here.
    """
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the supervisor decides
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    listening = listening or open_admin_socket(settings.admin)
    if listening is None:
        return 0
    _answer_until(stopped, _Server(listening, Pages(settings, counters), settings.admin.allow_from, Api(settings)))
    return 0


def _answer_until(stopped: threading.Event, server: _Server) -> None:
    parent = os.getppid()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    thread.start()
    while not stopped.wait(1.0) and os.getppid() == parent:
        pass
    server.shutdown()
    server.server_close()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A thread for each request, and a bound on the threads."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, listening: socket.socket, pages: Pages, allowed: tuple[Network, ...], api: Api | None = None
    ) -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.pages = pages
        self.api = api
        self._allowed = allowed
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether the client's network may ask; this machine always may."""
        host = client_address[0] if isinstance(client_address, tuple) else ""
        address = ipaddress.ip_address(host)
        address = getattr(address, "ipv4_mapped", None) or address
        return address.is_loopback or any(address in network for network in self._allowed)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Starts a thread, unless all are taken."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._free.release()
            raise

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """The thread's life."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away or a page that failed: told in the log, never on standard error by itself."""
        logger.info("admin request failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One request for each connection, and nothing of it in the answer."""

    server: _Server
    timeout = REQUEST_TIME
    server_version = "Vestibule"
    sys_version = ""

    def setup(self) -> None:
        """Takes in a bounded head within a bounded time before anything looks at it."""
        super().setup()
        self.rfile = io.BufferedReader(io.BytesIO(_read_head(self.connection)))

    def do_GET(self) -> None:
        """Sends the page."""
        self._send(self._ask_api() or self.server.pages.answer(self.path))

    def do_HEAD(self) -> None:
        """Sends the page's head."""
        self.do_GET()

    def do_POST(self) -> None:
        """Has an order carried out."""
        answer = self._ask_api()
        if answer is None:
            self.send_error(405)
        else:
            self._send(answer)

    def _ask_api(self) -> Answer | None:
        """What the interface for programs answers, if it is meant."""
        if self.server.api is None or not self.path.startswith(PREFIX):
            return None
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self._read_body)
        reply = self.server.api.answer(request)
        return Answer(reply.status, reply.body, JSON, reply.headers)

    def _read_body(self, length: int) -> bytes:
        return receive(self.connection, self.rfile.read(), length)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Says that the request was no good, without repeating any of it."""
        self._send(Answer(code if code != 501 else 405, b"Only GET and HEAD are answered here.\n"))

    def log_message(self, *_: object) -> None:
        """Requests are not logged: a watcher asks every few seconds."""

    def _send(self, answer: Answer) -> None:
        self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


def _read_head(connection: socket.socket) -> bytes:
    """The bytes up to the empty line, or as far as the bounds of size and time allow; raises OSError."""
    deadline = time.monotonic() + REQUEST_TIME
    head = b""
    while b"\r\n\r\n" not in head and len(head) < LONGEST_HEAD:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        received = connection.recv(LONGEST_HEAD - len(head))
        if not received:
            break
        head += received
    connection.settimeout(REQUEST_TIME)
    return head

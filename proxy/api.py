"""The operator's questions and orders over HTTP, on the admin address: `/api/…`, for whoever has the token.

There is nothing here without `admin.api_token_file`. The token goes into the header `Authorization: Bearer …`, which no
web page can make a browser send by itself; orders are JSON and say so, which a form cannot. Whoever has no token learns
nothing but that one is needed.
"""

from __future__ import annotations

import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, unquote

from director import Refused, Unanswered
from ldapmap import InvalidName
from proxy.console import SOCKET, Console
from proxy.settings import Settings
from proxy.targets import KICKABLE, LIMITED, Kind, canonical_user, find_target
from proxy.user_story import ask_director, ask_directory, story

PREFIX = "/api/"

LONGEST_BODY = 16 * 1024
"""Bytes of an order."""

LONGEST_TOKEN = 1024
SHORTEST_TOKEN = 16
"""Bytes; who guesses may try as often as the connection bears, so a shorter one lets nobody in."""

BODY_TIME = 5.0
"""Seconds until an order's body is complete."""

MOST_ROWS = 50_000
"""Rows of one answer; when there are more, it says so."""

MOST_AT_ONCE = 8
"""Questions to the director at the same time, so that it and the other pages stay quick."""

LISTINGS: Mapping[str, tuple[Kind, ...]] = {
    "backends": (),
    "shards": (),
    "who": ("all", "user", "address", "network", "backend"),
    "moves": (),
    "limits": ("all", *LIMITED),
}
"""What can be listed, and what may be its `target`."""

ORDERS: Mapping[str, Mapping[str, type]] = {
    "kick": {"target": str},
    "move": {"user": str, "backend": str, "dry": bool},
    "drain": {"backend": str, "dry": bool},
    "standby": {"backend": str},
    "online": {"backend": str},
    "offline": {"backend": str},
    "flush": {"user": str},
    "abort": {"job": str},
}
"""What each order's body has to say, and nothing else; `OPTIONAL` may be left out."""

OPTIONAL: Mapping[str, Any] = {"dry": False}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A request of which the head has been read: `headers` by their names in lower case. `read_body` takes in so many
    bytes, and raises OSError."""

    method: str
    target: str
    headers: Mapping[str, str]
    read_body: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: what it says as JSON, and the header fields that its status asks for."""

    status: int
    value: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The value as one line."""
        return json.dumps(self.value).encode() + b"\n"


class _Fault(Exception):
    """What is wrong with a request."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.reply = Reply(status, {"ok": False, "error": text}, headers or {})


class Api:
    """Answers for one node. Several threads may ask."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._console = Console(settings.node.run_dir / SOCKET)
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)

    def answer(self, request: Request) -> Reply:
        """The reply to a request below `PREFIX`; it never repeats what a stranger has sent."""
        try:
            self._admit(request)
            ask = self._question(request)
            if not self._free.acquire(blocking=False):
                raise _Fault(503, "too many questions at once", {"Retry-After": "1"})
            try:
                return Reply(200, {"ok": True, **ask()})
            finally:
                self._free.release()
        except _Fault as fault:
            return fault.reply
        except Refused as refusal:
            return _Fault(409, str(refusal)).reply
        except InvalidName as refusal:
            return _Fault(400, f"no name of a user: {refusal.reason}").reply
        except Unanswered as error:
            return _Fault(503, str(error)).reply

    # --- who may ask ---

    def _admit(self, request: Request) -> None:
        token = self._token()
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        good = hmac.compare_digest(sha256(given.strip().encode()).digest(), sha256(token).digest())
        if scheme.lower() != "bearer" or not good:
            raise _Fault(401, "a token is needed", {"WWW-Authenticate": "Bearer"})

    def _token(self) -> bytes:
        """Read each time, so that a new one counts at once."""
        path = self._settings.admin.api_token_file
        if path is None:
            raise _Fault(404, "there is no such page")
        try:
            with path.open("rb") as file:
                token = file.read(LONGEST_TOKEN + 1).strip()
        except OSError as error:
            logger.warning("admin.api_token_file: %s: %s", path, error.strerror)
            raise _Fault(503, "the token file cannot be read") from None
        if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
            logger.warning("admin.api_token_file: %s: expected %d to %d bytes", path, SHORTEST_TOKEN, LONGEST_TOKEN)
            raise _Fault(503, "the token file cannot be used")
        return token

    # --- what is asked ---

    def _question(self, request: Request) -> Callable[[], Mapping[str, Any]]:
        """What answers the request; everything about it has been checked then."""
        path, _, query = request.target.partition("?")
        name, _, rest = path.removeprefix(PREFIX).partition("/")
        if name in ORDERS and not rest:
            _allow(request, "POST")
            order = _order(name, _body(request))
            return lambda: self._console.answer(name, **self._understood(order))
        if name == "explain" and rest:
            _allow(request, "GET")
            return lambda: self._explained(unquote(rest))
        if name == "status" and not rest:
            _allow(request, "GET")
            return lambda: self._console.answer("status")
        if name not in LISTINGS or rest:
            raise _Fault(404, "there is no such page")
        _allow(request, "GET")
        target = parse_qs(query, max_num_fields=4).get("target", [""])[0] if LISTINGS[name] else ""
        return lambda: self._listed(name, target)

    def _understood(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """The order, with users as the director knows them."""
        if order.get("user"):
            return {**order, "user": canonical_user(order["user"], self._settings)}
        if "target" in order:
            return {"target": find_target(order["target"], self._settings, self._console).one_of(*KICKABLE)}
        return order

    def _listed(self, name: str, typed: str) -> Mapping[str, Any]:
        target = find_target(typed, self._settings, self._console)
        details = {"target": target.one_of(*LISTINGS[name])} if LISTINGS[name] else {}
        rows = self._console.rows(name, MOST_ROWS + 1, **details)
        return {"rows": rows[:MOST_ROWS], "more": len(rows) > MOST_ROWS}

    def _explained(self, typed: str) -> Mapping[str, Any]:
        told = ask_directory(self._settings, typed)
        answer = ask_director(self._console, told)
        return {**story(typed, told, answer, time.time()).as_json(), "director": answer}


def _allow(request: Request, method: str) -> None:
    methods = ("GET", "HEAD") if method == "GET" else (method,)
    if request.method not in methods:
        raise _Fault(405, f"only {' and '.join(methods)}", {"Allow": ", ".join(methods)})


def _body(request: Request) -> Mapping[str, Any]:
    """The order in a request. Raises _Fault for anything but a JSON object of a told and bounded length."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Fault(415, "an order is application/json")
    length = request.headers.get("content-length", "")
    if "transfer-encoding" in request.headers or not (length.isascii() and length.isdigit()):
        raise _Fault(411, "an order tells its length")
    if len(length) > 6 or int(length) > LONGEST_BODY:
        raise _Fault(413, f"an order has at most {LONGEST_BODY} bytes")
    try:
        value = json.loads(request.read_body(int(length)))
    except (ValueError, RecursionError):
        raise _Fault(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise _Fault(400, "the body is not a JSON object")
    return value


def _order(name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    wanted, given = ORDERS[name], {**OPTIONAL, **body}
    order = {key: given.get(key) for key in wanted}
    wrong = [key for key, kind in wanted.items() if type(order[key]) is not kind]
    if wrong or body.keys() - wanted.keys():
        raise _Fault(400, f"expected: {', '.join(f'{key} ({kind.__name__})' for key, kind in wanted.items())}")
    return order


def receive(connection: socket.socket, begun: bytes, length: int) -> bytes:
    """So many bytes of a body of which the first have come with the head, within `BODY_TIME`. Raises OSError."""
    deadline = time.monotonic() + BODY_TIME
    body = begun[:length]
    while len(body) < length:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        received = connection.recv(length - len(body))
        if not received:
            raise ConnectionError("the body is not complete")
        body += received
    connection.settimeout(BODY_TIME)
    return body

"""What the three protocols share when we log in at a backend, and the answers a backend can give."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

from proxy.protocols import sasl
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.limits import Limits
from proxy.protocols.origin import Origin
from proxy.protocols.preauth import Welcome
from proxy.protocols.secret import Secret
from proxy.protocols.wire import Wire

_CODE = re.compile(r"[A-Za-z0-9/-]{1,40}", re.ASCII)
#: What a client sends to a backend's last word about a refused token (XOAUTH2; RFC 7628 section 3.2.3).
_TOKEN_ANSWERS: Mapping[str, bytes] = {"XOAUTH2": b"", "OAUTHBEARER": b"\1"}


class Order(NamedTuple):
    """As whom, and how, to log in at a backend.

    `mechanism` is PLAIN, XOAUTH2 or OAUTHBEARER; `master` authenticates and `user` is whom the session is for; without
    a master `secret` is the user's own. `origin` is what the backend may be told of the client, or None.
    """

    user: str
    secret: Secret
    mechanism: str = "PLAIN"
    master: str = ""
    origin: Origin | None = None

    @property
    def needs_sasl(self) -> bool:
        """Whether a plain user name and password command cannot express the order."""
        return bool(self.master) or self.mechanism != "PLAIN"

    def message(self) -> bytes:
        """The SASL message, not yet in base64."""
        if self.mechanism != "PLAIN":
            return sasl.token_message(self.mechanism, self.user, self.secret)
        if self.master:
            return sasl.plain_message(self.user, self.master, self.secret)
        return sasl.plain_message("", self.user, self.secret)


class Login(ABC):
    """The client's side of a conversation with a backend up to the login.

    A caller runs `greeting`, `secure` if the link needs STARTTLS, then `authenticate`, each under its own deadline. All
    raise `Failure` with a BACKEND kind (or one that the user is told), and the wire's own failures.
    """

    def __init__(self, wire: Wire, order: Order, limits: Limits) -> None:
        self._wire = wire
        self._order = order
        self._limits = limits
        self._lines = 0
        self.forwarded = False

    @abstractmethod
    async def greeting(self) -> None:
        """Read the greeting."""

    @abstractmethod
    async def secure(self) -> None:
        """STARTTLS; nothing that was said before it counts afterwards."""

    @abstractmethod
    async def authenticate(self) -> Welcome:
        """Tell the backend where the client is, if it wants to know, and log in."""

    async def _line(self) -> bytes:
        self._lines += 1
        if self._lines > self._limits.backend_lines:
            raise Failure(Kind.BACKEND_PROTOCOL, "the backend says too much before login")
        return await self._wire.line(self._limits.backend_line)

    def _token_answer(self) -> bytes:
        answer = _TOKEN_ANSWERS.get(self._order.mechanism)
        if answer is None:
            raise Failure(Kind.BACKEND_PROTOCOL, "the backend asks for more than the mechanism has")
        return sasl.encode(answer)


def refused(status: str, code: str, kinds: Mapping[str, Kind]) -> Failure:
    """What a backend's refusal means; an unknown or missing code means that it does not accept the user."""
    kind = kinds.get(code.upper(), Kind.BACKEND_REFUSED)
    passed = code.upper() if kind is Kind.BACKEND_CODE else ""
    return Failure(kind, f"backend answered {status} [{code}]" if code else f"backend answered {status}", code=passed)


def code_within(text: str, opening: str, closing: str) -> str:
    """The response code at the start of `text`, whole; empty when there is none."""
    if not text.startswith(opening):
        return ""
    inside, found, _ = text[1:].partition(closing)
    return inside if found else ""


def code_name(code: str) -> str:
    """The first word of a response code if it looks like one, else an empty string."""
    name = code.partition(" ")[0]
    return name if _CODE.fullmatch(name) else ""

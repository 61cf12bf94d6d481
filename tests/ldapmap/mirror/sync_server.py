"""A scripted server with content synchronisation: what a real one does not do on demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ldapmap.client.ber import integer, octet_string, wrap
from ldapmap.client.messages import INTERMEDIATE_RESPONSE, SEARCH_ENTRY
from tests.ldapmap.fake import BIND, SEARCH, Conversation, Request, bind_result, result, search_done

BASE = "dc=x"
COOKIE = b"rid=000,csn=20260101000000.000000Z#000000#000#000000"
BEHIND = "consumer state is newer than provider!"
_REQUEST = b"1.3.6.1.4.1.4203.1.9.1.1"

Answer = Callable[[Request, Conversation], None]


class SyncServer:
    """Answers binds and probes, and sync searches one after the other as `answers` say; the last one is repeated."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.searches: list[Request] = []
        self.probes = 0
        self.silent = False
        self.conversation: Conversation | None = None

    async def __call__(self, request: Request, conversation: Conversation) -> None:
        if self.silent:
            return
        if request.kind == BIND:
            conversation.send(bind_result(request, 0))
        elif request.kind == SEARCH and _REQUEST not in request:
            self.probes += 1
            conversation.send(search_done(request, 32))
        elif request.kind == SEARCH:
            self.searches.append(request)
            self.conversation = conversation
            self.answers[min(len(self.searches), len(self.answers)) - 1](request, conversation)

    def send(self, *messages: Callable[[Request], bytes]) -> None:
        """More on the search asked last."""
        assert self.conversation is not None
        self.conversation.send(*[message(self.searches[-1]) for message in messages])


def whole(*users: str) -> Answer:
    """Everything there is, and then the connection stays open."""

    def answer(request: Request, conversation: Conversation) -> None:
        conversation.send(*[user(each)(request) for each in users], refreshed(COOKIE)(request))

    return answer


def part(*users: str) -> Answer:
    """Half of it, and then the connection is lost."""

    def answer(request: Request, conversation: Conversation) -> None:
        conversation.send(*[user(each)(request) for each in users])
        conversation.writer.close()

    return answer


def ends(code: int, diagnostic: str = "") -> Answer:
    """A search result instead of anything else."""
    return lambda request, conversation: conversation.send(search_done(request, code, diagnostic))


def nothing(request: Request, conversation: Conversation) -> None:
    """No word."""


def user(name: str, shard: str = "s1", state: int = 1) -> Callable[[Request], bytes]:
    values: Sequence[tuple[str, str]] = (("uid", name), ("mailHost", shard))
    attributes = [
        wrap(b"\x30", octet_string(key.encode()) + wrap(b"\x31", octet_string(value.encode()))) for key, value in values
    ]
    dn = octet_string(f"uid={name},{BASE}".encode())
    content = wrap(bytes((SEARCH_ENTRY,)), dn + wrap(b"\x30", b"".join(attributes)))
    told = wrap(b"\x30", integer(state, b"\x0a") + octet_string(name.encode().rjust(16, b"\0")))
    control = wrap(b"\x30", octet_string(b"1.3.6.1.4.1.4203.1.9.1.2") + octet_string(told))
    return lambda request: wrap(b"\x30", integer(request.message_id) + content + wrap(b"\xa0", control))


def refreshed(cookie: bytes) -> Callable[[Request], bytes]:
    """The refresh stage is over, by a delete phase."""
    return _info(wrap(b"\xa1", octet_string(cookie)))


def cookie(value: bytes) -> Callable[[Request], bytes]:
    return _info(wrap(b"\x80", value))


def done(code: int = 0) -> Callable[[Request], bytes]:
    """The search is over, with the control that belongs to it."""
    control = wrap(
        b"\x30", octet_string(b"1.3.6.1.4.1.4203.1.9.1.3") + octet_string(wrap(b"\x30", octet_string(COOKIE)))
    )
    return lambda request: result(request, 0x65, code, controls=wrap(b"\xa0", control))


def _info(value: bytes) -> Callable[[Request], bytes]:
    content = wrap(b"\x80", b"1.3.6.1.4.1.4203.1.9.1.4") + wrap(b"\x81", value)
    message = wrap(bytes((INTERMEDIATE_RESPONSE,)), content)
    return lambda request: wrap(b"\x30", integer(request.message_id) + message)

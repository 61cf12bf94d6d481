"""What hypothesis draws from: names, passwords, tokens, and conversations that are almost right."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from hypothesis import settings
from hypothesis import strategies as st

from proxy.protocols.failures import Failure, Kind
from proxy.protocols.preauth import CLOSING, Ended, Preauth, Welcome
from proxy.protocols.wire import EndOfStream, TlsFailure
from tests.transcripts import conversations

#: For properties over small values, and for those that play whole conversations.
MANY = settings(max_examples=100)
SOME = settings(max_examples=40)

#: What a client is never refused with by a session: it has its own farewell, or nobody is left to be told.
REFUSED = tuple(kind for kind in Kind if kind not in CLOSING and kind is not Kind.DISCONNECTED)


#: Control characters become letters.
_NO_CONTROLS = bytes(byte + 65 if byte < 32 else 65 if byte == 127 else byte for byte in range(256))


def _printable(least: int, most: int, **kind: object) -> st.SearchStrategy[str]:
    return st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], **kind),  # type: ignore[arg-type]
        min_size=least,
        max_size=most,
    )


#: User names as `judge` lets them pass.
names = _printable(1, 40)
#: Passwords as `judge` lets them pass: any bytes but control characters, and not only blanks.
passwords = st.binary(min_size=1, max_size=60).map(lambda data: data.translate(_NO_CONTROLS)).filter(bytes.strip)
#: Bearer tokens of any length up to those that need a continuation.
tokens = st.text(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=", min_size=1, max_size=1500
).map(str.encode)


@cache
def vocabulary(name: str, who: str) -> tuple[bytes, ...]:
    """Everything the peer says in the transcripts of that name."""
    said = {step.data for conversation in conversations(name) for step in conversation.steps if step.who in who}
    return tuple(sorted(line for line in said if len(line) < 700))


@st.composite
def _mutated(draw: st.DrawFn, name: str, who: str) -> bytes:
    data = bytearray(draw(st.sampled_from(vocabulary(name, who))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b"{5+}", b'"', b"(", b" ", b"\r\n", b"\0", b"=", b"*"]))
        )
    return bytes(data)


def chunks(name: str, who: str) -> st.SearchStrategy[list[bytes | None]]:
    """What a peer might send: lines of the transcripts in any order, changed ones, arbitrary bytes, TLS handshakes."""
    lines = st.sampled_from(vocabulary(name, who))
    return st.lists(st.one_of(lines, lines, _mutated(name, who), st.binary(max_size=30), st.none()), max_size=14)


def kind_of(action: Callable[[], object]) -> Kind | None:
    """The kind of the failure with which `action` ends, or None; any other exception leaves this function."""
    try:
        action()
    except Failure as failure:
        return failure.kind
    return None


async def hold(preauth: Preauth, orders: list[Kind | None]) -> str:
    """The client's conversation to its end, each attempt answered with the next order: a failure, or None to accept.

    The result says how it ended; any exception that is not documented leaves this function.
    """
    await preauth.greet()
    try:
        while (await preauth.attempt()) is not None:
            order = orders.pop(0) if orders else None
            if order is None:
                preauth.accept(Welcome(known="IMAP4rev1"))
                return "accepted"
            await preauth.refuse(Failure(order), "XOAUTH2")
    except (EndOfStream, TlsFailure, Ended) as end:
        return type(end).__name__
    return "ended"

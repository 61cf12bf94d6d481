"""SASL mechanisms, told as the conversations they are, on the server's and on the client's side.

A mechanism knows nothing of the protocol around it: it asks with `ask(challenge)`, which frames, encodes and decodes as
IMAP, POP3 or ManageSieve do, and raises what they raise when the client cancels or sends no base64.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Awaitable, Callable, Mapping

from proxy.protocols.credentials import Attempt
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.secret import Secret

Ask = Callable[[bytes], Awaitable[bytes]]
Mechanism = Callable[[Ask, bytes | None], Awaitable[Attempt]]

_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

#: Mechanisms whose secret would be readable on a connection without TLS.
PLAINTEXT = frozenset({"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"})

#: What a client is told in a last challenge before a token is refused (XOAUTH2, and RFC 7628 section 3.2.2).
TOKEN_REFUSALS: Mapping[str, bytes] = {
    "XOAUTH2": b'{"status":"401","schemes":"bearer","scope":"mail"}',
    "OAUTHBEARER": b'{"status":"invalid_token"}',
}


def encode(data: bytes) -> bytes:
    """Base64 without line ends."""
    return b2a_base64(data, newline=False)


def decode(data: bytes) -> bytes:
    """Strict base64 (RFC 4648 section 3), whatever Python takes for it; raises `Failure(INVALID_BASE64)`."""
    if not _BASE64.fullmatch(data):
        raise Failure(Kind.INVALID_BASE64)
    return a2b_base64(data)


async def plain(ask: Ask, initial: bytes | None) -> Attempt:
    """PLAIN: authzid NUL authcid NUL password (RFC 4616 section 2)."""
    message = await ask(b"") if initial is None else initial
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise Failure(Kind.BAD_CREDENTIALS, "malformed PLAIN message")
    authzid, user, password = parts
    return Attempt("PLAIN", user, Secret(password), b"" if authzid == user else authzid)


async def login(ask: Ask, initial: bytes | None) -> Attempt:
    """LOGIN: the name, then the password (never standardised; the prompts are those every client expects)."""
    user = await ask(b"Username:") if initial is None else initial
    return Attempt("LOGIN", user, Secret(await ask(b"Password:")))


async def xoauth2(ask: Ask, initial: bytes | None) -> Attempt:
    """XOAUTH2: `user=NAME^Aauth=Bearer TOKEN^A^A` (Google's and Microsoft's form)."""
    message = await ask(b"") if initial is None else initial
    fields = _fields(message.split(b"\1"))
    return Attempt("XOAUTH2", fields.get(b"user", b""), _bearer(fields))


async def oauthbearer(ask: Ask, initial: bytes | None) -> Attempt:
    """OAUTHBEARER: a GS2 header with the user, then `^Aauth=Bearer TOKEN^A^A` (RFC 7628 section 3.1)."""
    message = await ask(b"") if initial is None else initial
    header, *pairs = message.split(b"\1")
    flag, _, rest = header.partition(b",")
    name, _, _ = rest.partition(b",")
    if flag not in (b"n", b"y") or not name.startswith(b"a="):
        raise Failure(Kind.BAD_CREDENTIALS, "malformed OAUTHBEARER message")
    user = name[2:].replace(b"=2C", b",").replace(b"=3D", b"=")
    return Attempt("OAUTHBEARER", user, _bearer(_fields(pairs)))


async def external(ask: Ask, initial: bytes | None) -> Attempt:
    """EXTERNAL: the TLS certificate says who it is, the message may name whom to act as (RFC 4422 appendix A)."""
    authzid = await ask(b"") if initial is None else initial
    return Attempt("EXTERNAL", b"", Secret(b""), authzid)


MECHANISMS: Mapping[str, Mechanism] = {
    "PLAIN": plain,
    "LOGIN": login,
    "XOAUTH2": xoauth2,
    "OAUTHBEARER": oauthbearer,
    "EXTERNAL": external,
}


def plain_message(authzid: str, user: str, secret: Secret) -> bytes:
    """The client's PLAIN message; an `authzid` equal to `user` is the caller's to leave out."""
    return b"\0".join((authzid.encode(), user.encode(), secret.reveal()))


def token_message(mechanism: str, user: str, token: Secret) -> bytes:
    """The client's XOAUTH2 or OAUTHBEARER message for the backend that verifies the token."""
    if mechanism == "XOAUTH2":
        return b"user=%b\1auth=Bearer %b\1\1" % (user.encode(), token.reveal())
    name = user.replace("=", "=3D").replace(",", "=2C").encode()
    return b"n,a=%b,\1auth=Bearer %b\1\1" % (name, token.reveal())


def _fields(pairs: list[bytes]) -> dict[bytes, bytes]:
    split = (pair.partition(b"=") for pair in pairs if pair)
    return {key.lower(): value for key, _, value in split}


def _bearer(fields: Mapping[bytes, bytes]) -> Secret:
    scheme, _, token = fields.get(b"auth", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not token:
        raise Failure(Kind.BAD_CREDENTIALS, "malformed bearer token")
    return Secret(token)

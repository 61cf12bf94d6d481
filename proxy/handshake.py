"""TLS bound to a connection's descriptor, on the client's side and on the backend's."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, Literal

from proxy.channel import Channel, Upgrade
from proxy.dispatcher import READ, WRITE
from proxy.protocols.wire import EndOfStream, TlsFailure
from tls import NotTls, ServerContexts, client_hello_length, offered_alpn

_RECORD_HEADER = 5
#: Fatal alert no_application_protocol (RFC 7301 section 3.2), in clear as any alert before the keys.
_NO_APPLICATION_PROTOCOL = b"\x15\x03\x01\x00\x02\x02\x78"

#: Where an X.509 name or subjectAltName has the login name of a client certificate.
CertificateUser = Literal["cn", "email"]


def server_upgrade(contexts: ServerContexts, alpn: str, certificate_user: CertificateUser = "cn") -> Upgrade:
    """TLS as a server; a client that offers ALPN without `alpn` is refused, so that no browser can be tricked into
    talking to us (the ALPACA attack; RFC 7301 section 3.2)."""
    context, name = contexts.context, alpn.encode()

    async def upgrade(channel: Channel) -> None:
        await _check_alpn(channel, name)
        await _handshake(channel, lambda sock: context.wrap_socket(sock, True, do_handshake_on_connect=False))
        channel.certificate_user = _certificate_user(channel.sock, certificate_user)

    return upgrade


def client_upgrade(context: ssl.SSLContext, host: str) -> Upgrade:
    """TLS as a client of a backend, which must prove to be `host` if the context verifies."""

    async def upgrade(channel: Channel) -> None:
        await _handshake(
            channel, lambda sock: context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        )

    return upgrade


async def _handshake(channel: Channel, wrap: Callable[[socket.socket], ssl.SSLSocket]) -> None:
    try:
        channel.sock = sock = wrap(channel.sock)
        while True:
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                await channel.wait(READ)
            except ssl.SSLWantWriteError:
                await channel.wait(WRITE)
            else:
                break
    except ssl.SSLCertVerificationError as error:
        raise TlsFailure(f"certificate: {error.verify_message}") from None
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        raise EndOfStream from None
    except (ssl.SSLError, ValueError) as error:
        raise TlsFailure(getattr(error, "reason", None) or "TLS handshake failed") from None
    except OSError:
        raise EndOfStream from None
    channel.secure = True


async def _check_alpn(channel: Channel, ours: bytes) -> None:
    try:
        offered = offered_alpn(await _peek_client_hello(channel))
    except NotTls:
        raise TlsFailure("no TLS ClientHello") from None
    if offered and ours not in offered:
        await channel.send(_NO_APPLICATION_PROTOCOL)
        raise TlsFailure("the client offers other protocols (ALPN)")


async def _peek_client_hello(channel: Channel) -> bytes:
    """The first record, which stays in the socket for OpenSSL; a large one may arrive in several segments."""
    await channel.wait(READ)
    hello = _peek(channel.sock, 4096)
    if len(hello) < _RECORD_HEADER:
        hello = await _peek_exactly(channel, _RECORD_HEADER)
    length = client_hello_length(hello)
    return hello if len(hello) >= length else await _peek_exactly(channel, length)


async def _peek_exactly(channel: Channel, count: int) -> bytes:
    """The kernel is asked not to wake us before `count` bytes are there: what is peeked at stays readable."""
    channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
    await channel.wait(READ)
    channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    data = _peek(channel.sock, count)
    if len(data) < count:
        raise EndOfStream
    return data


def _peek(sock: socket.socket, count: int) -> bytes:
    try:
        data = sock.recv(count, socket.MSG_PEEK)
    except OSError:
        raise EndOfStream from None
    if not data:
        raise EndOfStream
    return data


def _certificate_user(sock: socket.socket, where: CertificateUser) -> str:
    """The name in a client certificate that OpenSSL has verified; an empty string without one.

    Several names of the kind, or a control character in one, name nobody.
    """
    certificate: Any = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    if not certificate:
        return ""
    if where == "email":
        names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "email"]
    else:
        names = [value for rdn in certificate.get("subject", ()) for key, value in rdn if key == "commonName"]
    return names[0] if len(names) == 1 and names[0].isprintable() else ""

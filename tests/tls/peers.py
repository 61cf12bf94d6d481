"""Two ends of a TLS connection in one test: real sockets, no thread, no port."""

import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from tls import CertificateFiles

_ROUNDS = 20


@dataclass(frozen=True)
class Connection:
    """Both ends after the handshake, with the session tickets read by the client."""

    server: ssl.SSLSocket
    client: ssl.SSLSocket

    @property
    def names(self) -> set[str]:
        """The DNS names and addresses of the certificate that the server showed."""
        der = self.client.getpeercert(binary_form=True)
        assert der is not None
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return set(names.get_values_for_type(x509.DNSName)) | {
            str(address) for address in names.get_values_for_type(x509.IPAddress)
        }

    @property
    def resumed(self) -> bool:
        assert self.client.session_reused == self.server.session_reused
        return bool(self.client.session_reused)

    def carries(self, data: bytes) -> bool:
        """Send `data` both ways."""
        self.server.send(data)
        self.client.send(data)
        return self.client.recv(100) == data and self.server.recv(100) == data


@contextlib.contextmanager
def connected(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    name: str | None = None,
    session: ssl.SSLSession | None = None,
) -> Iterator[Connection]:
    """Shake hands over a socket pair; the first side that refuses raises ssl.SSLError."""
    near, far = socket.socketpair()
    with (
        server.wrap_socket(near, server_side=True, do_handshake_on_connect=False) as accepted,
        client.wrap_socket(far, server_hostname=name, session=session, do_handshake_on_connect=False) as connecting,
    ):
        accepted.setblocking(False)
        connecting.setblocking(False)
        shake_hands(connecting, accepted)
        accepted.send(b"*")
        assert connecting.recv(1) == b"*"  # TLS 1.3 tickets come before it
        yield Connection(accepted, connecting)


def shake_hands(*ends: ssl.SSLSocket) -> None:
    """Take turns until every end is done."""
    waiting = list(ends)
    for _ in range(_ROUNDS):
        for end in tuple(waiting):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                waiting.remove(end)
        if not waiting:
            return
    raise AssertionError("the handshake does not end")


def anybody() -> ssl.SSLContext:
    """A client that believes every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def plain_server(files: CertificateFiles) -> ssl.SSLContext:
    """A server that serves whatever it is given, expired or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    return context


def client_hello(name: str | None = None, alpn: list[str] | None = None) -> bytes:
    """The first record that OpenSSL sends as a client."""
    context = anybody()
    if alpn:
        context.set_alpn_protocols(alpn)
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name).do_handshake()
    return sent.read()


@contextlib.contextmanager
def forked_server(context: ssl.SSLContext) -> Iterator[socket.socket]:
    """Yield a client's socket whose other end a child process serves for a handshake and one byte; reaps the child."""
    near, far = socket.socketpair()
    child = os.fork()
    if child == 0:
        far.close()
        os._exit(_status_of(lambda: _serve_once(context, near)))
    near.close()
    with far:
        yield far
    assert os.waitpid(child, 0)[1] == 0


def _serve_once(context: ssl.SSLContext, near: socket.socket) -> None:
    with context.wrap_socket(near, server_side=True) as accepted:
        accepted.send(b"*")
        accepted.recv(1)


def _status_of(work: Callable[[], None]) -> int:
    try:
        work()
    except BaseException:
        return 1
    return 0


def write(path: Path, content: bytes) -> Path:
    """Write `content` and return where."""
    path.write_bytes(content)
    return path

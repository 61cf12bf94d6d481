"""What all products stand before: one backend and one directory, each a process that costs next to nothing, and one
certificate."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from loadtest.responder import INVALID_CREDENTIALS, SUCCESS, Responder
from loadtest.target import Target
from loadtest.vestibule import own_certificate
from tls import CertificateFiles

ADDRESS = "127.0.0.1"

BACKLOG = 4096

WRONG_PASSWORD = b"wrong"

_START = 20.0
_STOP = 10.0


class Directory(Responder):
    """Every user's `mailHost` is the address of the backend, which is what all products can use.

    One password is wrong, so that it can be shown who asks.
    """

    shard = ADDRESS

    def verify(self, dn: bytes, password: bytes) -> bytes:
        return INVALID_CREDENTIALS if password == WRONG_PASSWORD else SUCCESS


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`imap` and `ldap` are ports of `ADDRESS`; `folder` is empty but for the certificate, which is for `localhost`."""

    folder: Path
    imap: int
    ldap: int
    certificate: CertificateFiles


@contextmanager
def surroundings() -> Iterator[Surroundings]:
    """Both processes run inside the block; the folder is gone after it."""
    with tempfile.TemporaryDirectory(prefix="vest-cmp-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # servers that were started as root look into it as somebody else
        ldap, imap = (stack.enter_context(_served(kind)) for kind in (Directory, Target))
        yield Surroundings(folder, imap, ldap, own_certificate(folder))


@contextmanager
def _served(kind: type[asyncio.Protocol]) -> Iterator[int]:
    """A process that serves a protocol; its port."""
    told, telling = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(kind, telling), daemon=True)
    process.start()
    telling.close()
    try:
        if not told.poll(_START):
            raise OSError(f"{kind.__name__} did not start")
        yield told.recv()
    finally:
        told.close()
        process.terminate()
        process.join(_STOP)
        process.kill()
        process.join()


def _serve(kind: type[asyncio.Protocol], telling: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all of us; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(kind, ADDRESS, 0, backlog=BACKLOG)
        telling.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())

"""HAProxy as it is measured: TLS to plain TCP, one thread. It knows no mail, no user, no directory: a lower bound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.compare.product import Product, Running, greets, process, program
from loadtest.compare.surroundings import ADDRESS, BACKLOG, Surroundings

_CONF = """\
global
    nbthread 1
    maxconn 9900
    log stdout format raw local0
    tune.ssl.default-dh-param 2048
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 10s
    timeout client 1h
    timeout server 1h
frontend clients
    bind {address}:{port} ssl crt {pem} backlog {backlog}
    maxconn 9900
    default_backend target
backend target
    server target {address}:{imap}
"""


@contextmanager
def _start(around: Surroundings, folder: Path, port: int) -> Iterator[Running]:
    pem, conf = folder / "both.pem", folder / "haproxy.cfg"
    pem.touch(mode=0o600)
    pem.write_bytes(around.certificate.chain.read_bytes() + around.certificate.key.read_bytes())
    conf.write_text(_CONF.format(address=ADDRESS, port=port, pem=pem, imap=around.imap, backlog=BACKLOG))
    command: list[str | Path] = [program("haproxy"), "-db", "-f", conf]
    with process(command, folder / "log", greets(around, port)) as pid:
        yield Running(port, (pid,))


HAPROXY = Product(
    name="HAProxy",
    has="one thread, TLS to plain TCP: no login, no LDAP, a lower bound; session log on",
    start=_start,
    version=("haproxy", "-v"),
)

"""Perdition as it is measured: a process per session, which looks up the user's server in LDAP over a connection of its
own. It checks no password: the backend does. So it does less than the others with a directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from loadtest.compare.product import NotHere, Product, Running, account, greets, process, program
from loadtest.compare.surroundings import ADDRESS, Surroundings
from loadtest.people import PEOPLE, SERVICE_DN, SERVICE_PASSWORD

MOST_IDLE = 500
"""Idle sessions that are enough to know what each costs: they have nothing in common."""

LIBRARY = "libperditiondb_ldap.so.0"


def library() -> Path:
    """The popmap library for LDAP, wherever this architecture has it. Raises NotHere."""
    found = sorted(Path("/usr/lib").glob(f"*/{LIBRARY}")) + sorted(Path("/usr/lib").glob(LIBRARY))
    if not found:
        raise NotHere(f"{LIBRARY} is not installed (Debian package perdition-ldap)")
    return found[0]


def popmap(ldap: int) -> str:
    """The option of the library: LDAP version, URL, and who searches (perditiondb(5))."""
    who = f"BINDNAME={quote(SERVICE_DN, safe='=')},X-BINDPW={quote(SERVICE_PASSWORD)}"
    return f"3:ldap://{ADDRESS}:{ldap}/{PEOPLE}?uid,mailHost?sub?(uid=%s)?!{who}"


@contextmanager
def _start(around: Surroundings, folder: Path, port: int) -> Iterator[Running]:
    owner = account()
    options = {
        "protocol": "IMAP4S",
        "bind_address": ADDRESS,
        "listen_port": port,
        "map_library": library(),
        "map_library_opt": popmap(around.ldap),
        "outgoing_port": around.imap,
        "imap_capability": "IMAP4rev1 LITERAL+ IDLE",
        "ssl_mode": "ssl_listen",
        "ssl_cert_file": around.certificate.chain,
        "ssl_key_file": around.certificate.key,
        "log_facility": "-",
        "pid_file": "",
        "username": owner.user,
        "group": owner.group,
    }
    command: list[str | Path] = [program("perdition"), "--no_daemon", "--no_lookup", "--no_bind_banner"]
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with process(command, folder / "log", greets(around, port)) as pid:
        yield Running(port, (pid,))


PERDITION = Product(
    name="Perdition",
    has="a process for each session; LDAP lookup over a connection of its own, the password is checked by the backend "
    f"only; session log on; idle memory of {MOST_IDLE} sessions",
    start=_start,
    version=("dpkg-query", "-W", "-f", "perdition ${Version}", "perdition"),
    most_idle=MOST_IDLE,
)

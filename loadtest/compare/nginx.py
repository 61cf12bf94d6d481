"""nginx's mail proxy as it is measured: one worker process, and an auth_http server in C that asks LDAP."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.compare.product import NotHere, Product, Running, account, greets, process, program
from loadtest.compare.surroundings import ADDRESS, BACKLOG, Surroundings
from loadtest.people import PEOPLE, SERVICE_DN, SERVICE_PASSWORD

MODULE = Path("/usr/lib/nginx/modules/ngx_mail_module.so")

SOURCE = Path(__file__).with_name("auth_http.c")

_CONF = """\
user {user} {group};
load_module {module};
daemon off;
pid {folder}/pid;
error_log {folder}/log info;
worker_processes 1;
events {{ worker_connections 20000; }}
mail {{
    auth_http unix:{folder}/auth:/auth;
    auth_http_timeout 60s;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    timeout 1h;
    server {{
        listen {address}:{port} ssl backlog={backlog};
        protocol imap;
        imap_capabilities IMAP4rev1 LITERAL+ IDLE;
    }}
}}
"""


def compiled(folder: Path) -> Path:
    """The auth_http server, compiled into `folder`. Raises NotHere without a compiler, or with what it says."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NotHere("there is no C compiler for its auth_http server (Debian packages gcc and libc6-dev)")
    made = folder / "auth_http"
    command = [compiler, "-O2", "-o", str(made), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHere(f"its auth_http server could not be compiled: {done.stderr.strip()}")
    return made


@contextmanager
def auth_http(around: Surroundings, folder: Path) -> Iterator[int]:
    """The process id of an auth_http server on the Unix socket `auth` in `folder`."""
    socket = folder / "auth"
    directory = [ADDRESS, str(around.ldap), PEOPLE, SERVICE_DN, SERVICE_PASSWORD]
    command: list[str | Path] = [compiled(folder), socket, *directory, str(around.imap)]
    with process(command, folder / "auth.log", socket.exists) as pid:
        yield pid


@contextmanager
def _start(around: Surroundings, folder: Path, port: int) -> Iterator[Running]:
    nginx = program("nginx")
    if not MODULE.exists():
        raise NotHere("its mail module is not installed (Debian package libnginx-mod-mail)")
    conf, owner = folder / "nginx.conf", account()
    files = {"chain": around.certificate.chain, "key": around.certificate.key, "folder": folder, "module": MODULE}
    conf.write_text(
        _CONF.format(user=owner.user, group=owner.group, address=ADDRESS, port=port, backlog=BACKLOG, **files)
    )
    command: list[str | Path] = [nginx, "-p", folder, "-e", folder / "log", "-c", conf]
    with auth_http(around, folder) as helper, process(command, folder / "log", greets(around, port)) as pid:
        yield Running(port, (pid, helper))


NGINX = Product(
    name="nginx",
    has="one worker process; auth_http in C over a Unix socket (LDAP search and bind over kept connections), counted; "
    "session log on",
    start=_start,
    version=("nginx", "-v"),
)

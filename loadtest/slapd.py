"""A real OpenLDAP server to measure against: filled by slapadd, on a loopback address of its own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import tls
from loadtest.people import BASE, SERVICE_DN, SERVICE_PASSWORD

ROOT_DN = f"cn=root,{BASE}"
ROOT_PASSWORD = "root secret"

SCHEMAS = Path("/etc/ldap/schema")
MODULES = Path("/usr/lib/ldap")

PATIENCE = 30.0
"""Seconds it has to start, and to end."""

_CONF = """\
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
include {schemas}/misc.schema
modulepath {modules}
moduleload back_mdb
moduleload syncprov
pidfile {home}/slapd.pid
argsfile {home}/slapd.args
loglevel none
TLSCACertificateFile {home}/ca.pem
TLSCertificateFile {home}/server.pem
TLSCertificateKeyFile {home}/server.key
database mdb
suffix "{base}"
rootdn "{root_dn}"
rootpw "{root_password}"
directory {home}/db
maxsize 8589934592
dbnosync
index objectClass,uid,mail,mailHost,entryUUID,entryCSN eq
limits dn.exact="{service_dn}" size=unlimited time=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service_dn}" read by anonymous auth by * none
overlay syncprov
syncprov-checkpoint 1000 10
syncprov-sessionlog 10000
"""


class SlapdFailed(Exception):
    """The server cannot be started or filled; the text says why."""


def missing() -> str:
    """Why no server can be started here; "" when one can."""
    for name in ("slapd", "slapadd", "slappasswd"):
        if find_program(name) is None:
            return f"{name} is not installed (Debian package slapd)"
    return "" if (MODULES / "syncprov.so").exists() else "slapd's syncprov module is not installed"


def find_program(name: str) -> str | None:
    """The program's path; `sbin` is not in an ordinary user's PATH."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Slapd:
    """One slapd with the entries of `ldif`, alive inside `with`.

    Only the service identity may search, without a limit, and follow changes (RFC 4533). The database is back_mdb
    without syncs to the disk, so that the disk is not what is measured. `processor` confines the server to one
    processor. Raises SlapdFailed, and OSError.
    """

    def __init__(self, ldif: Iterable[str], *, processor: int | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="vestibule-bench-"))
        self.address = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
        port, tls_port = _free_ports(self.address, 2)
        self.ldap = f"ldap://{self.address}:{port}"
        self.ldaps = f"ldaps://{self.address}:{tls_port}"
        self.socket = self.home / "ldapi"
        self.ca_file = self.home / "ca.pem"
        self.password_file = self.home / "service.secret"
        self.load_seconds = 0.0
        """What slapadd took."""
        self._ldif = ldif
        self._processor = processor
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Slapd:
        try:
            if reason := missing():
                raise SlapdFailed(reason)
            self._prepare()
            self._fill()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None  # noqa: S101 (a mistake in our own code)
        return self._process.pid

    @property
    def context(self) -> ssl.SSLContext:
        """How clients verify it."""
        return tls.backend_context(self.ca_file, True)

    def close(self) -> None:
        """End the process and remove every file. May be called again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self.home, ignore_errors=True)

    def _prepare(self) -> None:
        (self.home / "db").mkdir()
        self.password_file.write_text(SERVICE_PASSWORD)
        self.password_file.chmod(0o600)
        authority = tls.ThrowawayAuthority("Vestibule measurement CA")
        authority.write_ca(self.ca_file)
        authority.issue(self.home, "server", dns=["localhost"], ips=[self.address])
        names = {"base": BASE, "root_dn": ROOT_DN, "root_password": ROOT_PASSWORD, "service_dn": SERVICE_DN}
        conf = _CONF.format(schemas=SCHEMAS, modules=MODULES, home=self.home, **names)
        (self.home / "slapd.conf").write_text(conf)

    def _fill(self) -> None:
        began = time.monotonic()
        with (self.home / "log").open("ab") as log:
            command = [find_program("slapadd") or "slapadd", "-q", "-w", "-f", str(self.home / "slapd.conf")]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True)
            assert process.stdin is not None  # noqa: S101 (it was started with a pipe)
            with suppress(BrokenPipeError), process.stdin as pipe:  # why it ended is in the log
                pipe.writelines(self._ldif)
            process.wait()
        if process.returncode:
            raise SlapdFailed(f"slapadd ended with {process.returncode}:\n{self._said()}")
        self.load_seconds = time.monotonic() - began

    def _start(self) -> None:
        urls = f"{self.ldap} {self.ldaps} ldapi://{quote(str(self.socket), safe='')}"
        command = [find_program("slapd") or "slapd", "-d", "0", "-f", str(self.home / "slapd.conf"), "-h", urls]
        if self._processor is not None:
            command = ["taskset", "-c", str(self._processor), *command]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SlapdFailed(f"slapd did not start:\n{self._said()}")
            time.sleep(0.01)

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def _said(self) -> str:
        return (self.home / "log").read_text(errors="replace")[-2000:]


def slow_hash(password: str, rounds: int) -> str:
    """A `userPassword` value in the {CRYPT} scheme: SHA-512 in so many rounds (1,000 at least)."""
    command = [find_program("slappasswd") or "slappasswd", "-h", "{CRYPT}", "-c", f"$6$rounds={rounds}$%.8s"]
    return subprocess.run([*command, "-s", password], check=True, capture_output=True, text=True).stdout.strip()


def _free_ports(address: str, count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((address, 0))
        return [each.getsockname()[1] for each in sockets]

"""A real OpenLDAP server for tests: its own loopback address, its own temporary directory, gone when the block ends."""

from __future__ import annotations

import atexit
import base64
import contextlib
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import ldap3

from .wait import wait_until

BASE = "dc=example,dc=org"
PEOPLE = f"ou=people,{BASE}"
SERVICE_DN = f"cn=vestibule,{BASE}"
SERVICE_PASSWORD = "service secret"
ROOT_DN = f"cn=root,{BASE}"
ROOT_PASSWORD = "root secret"
STRICT_POLICY = f"cn=strict,{BASE}"
"""A user whose `pwdPolicySubentry` is this DN is locked after three failures and must change a reset password."""

SCHEMAS = Path("/etc/ldap/schema")
STANDARD_SCHEMAS = ("core.schema", "cosine.schema", "inetorgperson.schema", "misc.schema")
MODULES = Path("/usr/lib/ldap")

_CONF = """\
{schemas}modulepath {modules}
moduleload back_mdb
moduleload ppolicy
moduleload syncprov
{node}pidfile {home}/slapd.pid
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
maxsize 268435456
dbnosync
index objectClass,uid,mail,mailHost,entryUUID,entryCSN eq
limits dn.exact="{service_dn}" size=unlimited time=unlimited
{replication}{overlays}overlay ppolicy
{lockout}access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service_dn}" read by anonymous auth by * none
{others}"""

_OTHER = """\
database mdb
suffix "{suffix}"
rootdn "{root_dn}"
directory {directory}
maxsize 268435456
dbnosync
index objectClass,uid,mail,mailHost,entryUUID,entryCSN eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service_dn}" read by anonymous auth by * none
"""

_SYNCPROV = """\
overlay syncprov
syncprov-checkpoint {checkpoint}
syncprov-sessionlog {session_log}
"""


def missing() -> str:
    """Why no server can be started here ("" when one can), for `pytest.mark.skipif`."""
    for needed in ("slapd", "openssl"):
        if find_program(needed) is None:
            return f"{needed} is not installed"
    return "" if (MODULES / "ppolicy.so").exists() else "slapd's ppolicy module is not installed"


def find_program(name: str) -> str | None:
    """The program's path; `sbin` is not in an ordinary user's PATH."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Slapd:
    """One slapd with `BASE`, `PEOPLE`, the service identity and the schemas core, cosine, inetorgperson and misc.

    Only the service identity may read and search; nobody may read `userPassword`. TLS is offered by StartTLS on `ldap`,
    and on `ldaps`, with a certificate for the server's address, `localhost` and `ldap.example`, issued by `ca_file`.
    The addresses stay the same over `stop`, `kill`, `start` and `restart`.

    A `provider` can be followed (RFC 4533): its session log remembers `session_log` operations until it ends, and its
    contextCSN is written every `checkpoint` (operations, minutes). `node` and `replication` are lines of its
    configuration: what is said about the server itself and about its database.

    `schemas` are files below `SCHEMAS` or with a whole path, `suffixes` further trees beside `BASE`.
    Without `use_lockout` a locked account is answered like a wrong password (slapo-ppolicy(5): `ppolicy_use_lockout`).
    """

    base, people = BASE, PEOPLE
    service_dn, service_password = SERVICE_DN, SERVICE_PASSWORD

    def __init__(
        self,
        *,
        provider: bool = False,
        session_log: int = 10_000,
        checkpoint: str = "1 1",
        schemas: Sequence[str | Path] = STANDARD_SCHEMAS,
        suffixes: Sequence[str] = (),
        use_lockout: bool = True,
    ) -> None:
        self._schemas = "".join(f"include {SCHEMAS / name}\n" for name in schemas)
        self._suffixes = tuple(suffixes)
        self._lockout = "ppolicy_use_lockout\n" if use_lockout else ""
        self.node = self.replication = ""
        self.populated = True
        """Whether the first entries are added when it has started; replicas get theirs from elsewhere."""
        self._overlays = _SYNCPROV.format(checkpoint=checkpoint, session_log=session_log) if provider else ""
        self.home = Path(tempfile.mkdtemp(prefix="vestibule-slapd-"))
        self.address = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
        self.port, self.tls_port = _free_ports(self.address, 2)
        self.ldap = f"ldap://{self.address}:{self.port}"
        self.ldaps = f"ldaps://{self.address}:{self.tls_port}"
        self.ldapi = f"ldapi://{quote(str(self.home / 'ldapi'), safe='')}"
        self.ca_file = self.home / "ca.pem"
        self.password_file = self.home / "service.secret"
        self._process: subprocess.Popen[bytes] | None = None
        self._admin: ldap3.Connection | None = None

    def __enter__(self) -> Self:
        atexit.register(self.close)
        try:
            self._prepare()
            self.start()
            if self.populated:
                self._populate()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the process ---

    def start(self) -> None:
        """Start the process and return when it accepts connections."""
        command = [find_program("slapd") or "slapd", "-d", "0", *self.configuration()]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-h", f"{self.ldap}/ {self.ldaps} {self.ldapi}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_it_accepts()

    def configuration(self) -> list[str]:
        """The options that say where the configuration is."""
        return ["-f", str(self.home / "slapd.conf")]

    def stop(self) -> None:
        """End the process in an orderly way (its clients see their connections closed)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, as a power failure would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop answering while the kernel still accepts connections and bytes: a server that hangs."""
        self._signal(signal.SIGSTOP)
        wait_until(self._stands_still, "slapd to stop")  # its threads stop one after the other

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def close(self) -> None:
        """End the process and remove every file. May be called again."""
        atexit.unregister(self.close)
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    # --- the contents ---

    def add_user(self, uid: str, password: str, **attributes: str | Sequence[str]) -> str:
        """Add `uid=...,ou=people` and return its DN. `attributes` may replace any default, for example `cn`."""
        dn = f"uid={ldap3.utils.dn.escape_rdn(uid)},{PEOPLE}"
        values: dict[str, Any] = {"cn": uid, "sn": uid, "uid": uid, "userPassword": ssha(password), **attributes}
        self.add(dn, ["inetOrgPerson", "inetLocalMailRecipient"], values)
        return dn

    def add(self, dn: str, classes: Sequence[str], values: dict[str, Any]) -> None:
        """Add any entry, as the root identity."""
        self._done(self.admin().add(dn, list(classes), values))

    def replace(self, dn: str, **attributes: str | Sequence[str]) -> None:
        """Replace the values of attributes; an empty sequence removes one."""
        changes = {name: [(ldap3.MODIFY_REPLACE, _listed(value))] for name, value in attributes.items()}
        self._done(self.admin().modify(dn, changes))

    def delete(self, dn: str) -> None:
        self._done(self.admin().delete(dn))

    def admin(self) -> ldap3.Connection:
        """A blocking connection with every right."""
        if self._admin is None:
            server = ldap3.Server(self.ldap, get_info=ldap3.NONE, connect_timeout=5)
            self._admin = ldap3.Connection(
                server,
                ROOT_DN,
                ROOT_PASSWORD,
                auto_bind=True,
                auto_referrals=False,
                check_names=False,
                receive_timeout=10,
            )
        return self._admin

    # --- details ---

    def _prepare(self) -> None:
        (self.home / "db").mkdir()
        self.password_file.write_text(SERVICE_PASSWORD + "\n")
        self.password_file.chmod(0o600)
        _make_certificates(self.home, self.address)
        (self.home / "slapd.conf").write_text(
            _CONF.format(
                schemas=self._schemas,
                modules=MODULES,
                home=self.home,
                base=BASE,
                others=self._other_databases(),
                root_dn=ROOT_DN,
                root_password=ROOT_PASSWORD,
                service_dn=SERVICE_DN,
                lockout=self._lockout,
                node=self.node,
                replication=self.replication,
                overlays=self._overlays,
            )
        )

    def _other_databases(self) -> str:
        directories = [self.home / f"db{number}" for number, _ in enumerate(self._suffixes, 1)]
        for directory in directories:
            directory.mkdir()
        return "".join(
            _OTHER.format(suffix=suffix, directory=directory, root_dn=ROOT_DN, service_dn=SERVICE_DN)
            for suffix, directory in zip(self._suffixes, directories, strict=True)
        )

    def _populate(self) -> None:
        self.add(BASE, ["dcObject", "organization"], {"o": "Example"})
        self.add(PEOPLE, ["organizationalUnit"], {})
        role = ["organizationalRole", "simpleSecurityObject"]
        self.add(SERVICE_DN, role, {"userPassword": ssha(SERVICE_PASSWORD)})
        policy = {"pwdAttribute": "userPassword", "pwdMaxFailure": "3", "pwdLockout": "TRUE", "pwdMustChange": "TRUE"}
        self.add(STRICT_POLICY, ["organizationalRole", "pwdPolicy"], policy)

    def _wait_until_it_accepts(self) -> None:
        assert self._process is not None
        wait_until(lambda: self._process is None or self._process.poll() is not None or self._accepts(), "slapd")
        if not self._accepts():
            raise RuntimeError(f"slapd did not start: {(self.home / 'log').read_text(errors='replace')[-2000:]}")

    def _accepts(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 1.0):
            return True
        return False

    def _end(self, number: signal.Signals) -> None:
        if self._admin is not None:
            self._admin.unbind()
            self._admin = None
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(10)
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _stands_still(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return all((thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def _done(self, succeeded: bool) -> None:
        if not succeeded:
            raise RuntimeError(f"slapd refused: {self.admin().result}")


def ssha(password: str) -> str:
    """A `userPassword` value in the {SSHA} scheme."""
    salt = os.urandom(8)
    digest = hashlib.sha1(password.encode() + salt).digest()  # noqa: S324 (the scheme's hash)
    return "{SSHA}" + base64.b64encode(digest + salt).decode()


def _listed(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _free_ports(address: str, count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((address, 0))
        return [each.getsockname()[1] for each in sockets]


def _make_certificates(home: Path, address: str) -> None:
    """`ca.pem`, and `server.pem` and `server.key` for the server's names."""
    new_key = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-batch"]
    authority = [*new_key, "-x509", "-days", "2", "-subj", "/CN=Slapd test CA", "-keyout", "ca.key", "-out", "ca.pem"]
    request = [*new_key, "-subj", "/CN=slapd", "-keyout", "server.key", "-out", "server.csr"]
    (home / "extensions").write_text(f"subjectAltName=IP:{address},DNS:localhost,DNS:ldap.example\n")
    issue = ["openssl", "x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"]
    for command in (authority, request, [*issue, "-CAcreateserial", "-extfile", "extensions", "-out", "server.pem"]):
        subprocess.run(command, cwd=home, check=True, capture_output=True)

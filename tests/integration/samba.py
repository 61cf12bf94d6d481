"""A real Active Directory domain controller for tests: Samba on a loopback address of its own, gone with its block.

A domain is provisioned once per test session; every server runs on a copy of it. The ports of a domain controller are
fixed, which takes root and nobody else on port 389 of all addresses.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import ldap3

from tls import ThrowawayAuthority

from .addresses import accepts, unused_address
from .processes import MissingPackage, kill_group, program, start, stop_group
from .wait import wait_until

REALM = "example.test"
NT_DOMAIN = "EXAMPLE"
BASE = "DC=example,DC=test"
PEOPLE = f"OU=people,{BASE}"
SERVICE_PASSWORD = "Service.Secret1"
ADMINISTRATOR_PASSWORD = "Admin.Secret1"
FAILURES_TO_LOCK = 3
NEVER_EXPIRES = 0x10000
ORDINARY, DISABLED = 0x200 | NEVER_EXPIRES, 0x202 | NEVER_EXPIRES
"""Values of `userAccountControl`."""

PORTS = (389, 636, 3268, 3269)
PACKAGES = "samba samba-ad-dc samba-dsdb-modules samba-ad-provision"

_SHOW_DELETED = "1.2.840.113556.1.4.417"
_CONF = """\
[global]
netbios name = DC1
realm = EXAMPLE.TEST
workgroup = EXAMPLE
server role = active directory domain controller
server services = ldap
interfaces = {address}/8
bind interfaces only = yes
private dir = {home}/tree/private
state directory = {home}/tree/state
cache directory = {home}/tree/cache
lock directory = {home}/tree
binddns dir = {home}/tree/bind-dns
pid directory = {home}
ncalrpc dir = {home}/ncalrpc
winbindd socket directory = {home}/winbindd
ntp signd socket directory = {home}/ntp
log file = {home}/log
logging = file
ldap server require strong auth = no
tls cafile = {home}/ca.pem
tls certfile = {home}/server.pem
tls keyfile = {home}/server.key
"""
_OFFLINE = """\
import sys
from samba import ldb
from samba.auth import system_session
from samba.dcerpc import misc, security
from samba.ndr import ndr_pack, ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils
settings = LoadParm(); settings.load(sys.argv[1])
directory = SamDB(session_info=system_session(settings), lp=settings)
"""
_NEW_INVOCATION = """
change = ldb.Message(ldb.Dn(directory, directory.get_dsServiceName()))
change["x"] = ldb.MessageElement(ndr_pack(misc.GUID(sys.argv[2])), ldb.FLAG_MOD_REPLACE, "invocationId")
directory.modify(change, ["relax:0", "provision:0"])
"""
_GRANT = """
descriptors, (account, where, right) = SDUtils(directory), sys.argv[2:]
found = directory.search(scope=ldb.SCOPE_SUBTREE, expression=f"(sAMAccountName={account})", attrs=["objectSid"])
sid = ndr_unpack(security.dom_sid, found[0]["objectSid"][0])
before = descriptors.read_sd_on_dn(where, controls=["show_deleted:1"]).as_sddl(descriptors.domain_sid)
head, acl, rest = before.partition("D:")
flags, bracket, entries = rest.partition("(")
descriptors.modify_sd_on_dn(where, f"{head}{acl}{flags}({right};{sid})({entries}", controls=["show_deleted:1"])
"""
"""What is done with the databases while the server is stopped: as root, past all rights."""

READ_DELETED = (f"CN=Deleted Objects,{BASE}", "A;CI;LCRP;;")
REPLICATE = (BASE, "OA;;CR;1131f6aa-9c07-11d1-f79f-00c04fc2dcd2;")
"""For `grant`: where, and what in the form of an ACE without its account."""


class Samba:
    """One domain controller with `PEOPLE` and the service identity, which is an ordinary user.

    TLS is offered by StartTLS on `ldap`, and on `ldaps`, with a certificate for the server's address and
    `dc1.example.test`, issued by `ca_file`. `tree` is what another server has left (see `leave`): the same domain, as a
    second controller has it.
    """

    def __init__(self, tree: Path | None = None) -> None:
        _check()
        self.home = Path(tempfile.mkdtemp(prefix="vest-samba-", dir="/tmp"))
        self.address = unused_address()
        self.ldap = f"ldap://{self.address}"
        self.ldaps = f"ldaps://{self.address}"
        self.ca_file = self.home / "ca.pem"
        self.password_file = self.home / "service.secret"
        self._settings = self.home / "smb.conf"
        self._tree = tree
        self._process: subprocess.Popen[bytes] | None = None
        self._admin: ldap3.Connection | None = None

    def __enter__(self) -> Samba:
        atexit.register(self.close)
        try:
            self._prepare()
            self.start()
            if self._tree is None:
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
        """Start the processes and return when they accept connections."""
        command = [program("samba", PACKAGES), "-F", "--no-process-group", "-M", "single", "-s", str(self._settings)]
        self._process = start(command, self.home / "output", as_service=False)
        wait_until(self._ready, "samba to accept connections")

    def stop(self) -> None:
        """End the server in an orderly way."""
        self._forget_admin()
        if self._process is not None:
            stop_group(self._process)
            self._process = None

    def pause(self) -> None:
        """Stop answering while the kernel still accepts connections and bytes: a server that hangs."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server and remove every file. May be called again."""
        atexit.unregister(self.close)
        self._forget_admin()
        if self._process is not None:
            kill_group(self._process)
            self._process = None
        shutil.rmtree(self.home, ignore_errors=True)

    @contextlib.contextmanager
    def left(self) -> Iterator[Path]:
        """A copy of the databases as they are now; the server is restarted for it."""
        copy = Path(tempfile.mkdtemp(prefix="vest-samba-", dir="/tmp"))
        try:
            self.stop()
            shutil.copytree(self.home / "tree", copy, dirs_exist_ok=True, ignore=_no_sockets)
            self.start()
            yield copy
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def restore(self, tree: Path) -> None:
        """Go on with a copy of the databases, as a machine does that was set back to a snapshot."""
        self.stop()
        shutil.rmtree(self.home / "tree")
        shutil.copytree(tree, self.home / "tree")
        self.start()

    def renew_invocation(self) -> None:
        """Become another instance of the database, as a controller does after it was restored in an orderly way."""
        self.stop()
        self._offline(_NEW_INVOCATION, str(uuid.uuid4()))
        self.start()

    def grant(self, right: tuple[str, str], account: str = "svc") -> None:
        """Give a user one of the rights above; the server is restarted for it."""
        self.stop()
        self._offline(_GRANT, account, *right)
        self.start()

    # --- the contents ---

    def add_user(self, name: str, password: str, *, unit: str = PEOPLE, **attributes: Any) -> str:
        """Add CN=name below `unit` and return its DN. `attributes` may replace any default."""
        dn = f"CN={ldap3.utils.dn.escape_rdn(name)},{unit}"
        values: dict[str, Any] = {
            "sAMAccountName": name,
            "userPrincipalName": f"{name}@{REALM}",
            "userAccountControl": str(ORDINARY),
            "unicodePwd": f'"{password}"'.encode("utf-16-le"),
            **attributes,
        }
        self.add(dn, ["user"], values)
        return dn

    def add(self, dn: str, classes: Sequence[str], values: dict[str, Any] | None = None) -> None:
        """Add any entry, as the administrator."""
        self._done(self.admin().add(dn, list(classes), values))

    def replace(self, dn: str, **attributes: str | bytes | Sequence[str]) -> None:
        """Replace the values of attributes (`_` is written for `-`); an empty sequence removes one."""
        changes = {
            name.replace("_", "-"): [(ldap3.MODIFY_REPLACE, [value] if isinstance(value, (str, bytes)) else value)]
            for name, value in attributes.items()
        }
        self._done(self.admin().modify(dn, changes))

    def move(self, dn: str, rdn: str, parent: str | None = None) -> str:
        """Rename an entry, or move it below another; returns its new DN."""
        self._done(self.admin().modify_dn(dn, rdn, new_superior=parent))
        return f"{rdn},{parent or dn.partition(',')[2]}"

    def delete(self, dn: str) -> None:
        self._done(self.admin().delete(dn))

    def lock(self, dn: str) -> None:
        """Use up the allowed number of wrong passwords."""
        for _ in range(FAILURES_TO_LOCK):
            self._connection(dn, "wrong").bind()

    def admin(self) -> ldap3.Connection:
        """A blocking connection with every right."""
        if self._admin is None:
            self._admin = self._connection(f"Administrator@{REALM}", ADMINISTRATOR_PASSWORD)
            self._done(self._admin.bind())
        return self._admin

    # --- details ---

    def _prepare(self) -> None:
        shutil.copytree(self._tree or _provisioned(), self.home / "tree", ignore=_no_sockets)
        self._settings.write_text(_CONF.format(home=self.home, address=self.address))
        self.password_file.write_text(SERVICE_PASSWORD + "\n")
        self.password_file.chmod(0o600)
        authority = ThrowawayAuthority("Samba test authority")
        authority.write_ca(self.ca_file)
        authority.issue(self.home, "server", dns=[f"dc1.{REALM}"], ips=[self.address], key="rsa")
        if self._tree is not None:
            self._offline(_NEW_INVOCATION, str(uuid.uuid4()))

    def _offline(self, script: str, *arguments: str) -> None:
        command = ["/usr/bin/python3", "-c", _OFFLINE + script, str(self._settings), *arguments]
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)

    def _populate(self) -> None:
        """Passwords of any form, no two-stage policy in the way, and accounts that lock."""
        policy = {"lockoutThreshold": str(FAILURES_TO_LOCK), "pwdProperties": "0", "minPwdLength": "0"}
        self.replace(BASE, **policy, minPwdAge="0", pwdHistoryLength="0")
        self.add(PEOPLE, ["organizationalUnit"])
        self.add_user("svc", SERVICE_PASSWORD)

    def _connection(self, user: str, password: str) -> ldap3.Connection:
        tls = ldap3.Tls(validate=ssl.CERT_NONE)
        server = ldap3.Server(self.ldaps, get_info=ldap3.NONE, connect_timeout=5, tls=tls)
        connection = ldap3.Connection(
            server, user, password, auto_referrals=False, check_names=False, receive_timeout=20
        )
        connection.open()
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            texts = [path.read_text(errors="replace") for path in (self.home / "output", self.home / "log")]
            raise RuntimeError(f"samba did not start: {''.join(texts)[-3000:]}")
        return accepts(self.address, PORTS[1])

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def _forget_admin(self) -> None:
        if self._admin is not None:
            with contextlib.suppress(ldap3.core.exceptions.LDAPException):
                self._admin.unbind()
            self._admin = None

    def _done(self, succeeded: bool) -> None:
        if not succeeded:
            raise RuntimeError(f"samba refused: {self.admin().result}")


def _check() -> None:
    if os.geteuid() != 0:
        raise MissingPackage("only root can start a domain controller: its ports are below 1024")
    for name in ("samba", "samba-tool"):
        program(name, PACKAGES)
    if not Path("/usr/share/samba/setup/provision.ldif").exists():
        raise MissingPackage("Debian package samba-ad-provision is not installed")
    address = unused_address()
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                probe.listen()
            except OSError:
                raise MissingPackage(f"another server listens on port {port} of every address") from None


@functools.cache
def _provisioned() -> Path:
    """A new domain, without users; made once in the life of the process."""
    home = Path(tempfile.mkdtemp(prefix="vest-samba-", dir="/tmp"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    command = [program("samba-tool", PACKAGES), "domain", "provision", f"--targetdir={home}", f"--realm={REALM}"]
    domain = [f"--domain={NT_DOMAIN}", "--server-role=dc", "--dns-backend=NONE", "--host-name=dc1"]
    subprocess.run(
        [*command, *domain, "--host-ip=127.0.0.1", f"--adminpass={ADMINISTRATOR_PASSWORD}"],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    return home


def _no_sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]

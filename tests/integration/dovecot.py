"""A real Dovecot 2.3 for tests: its own loopback address, its own temporary folder, gone when the block ends."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import imaplib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tls import CertificateFiles

from .addresses import free_ports, unused_address
from .processes import MissingPackage, give_away, kill_group, program, service_account, short_folder, start, stop_group
from .wait import wait_until

MASTER_USER = "vestibule"
MASTER_PASSWORD = "master secret"
TOKEN_SECRET = b"a secret the identity provider shares with Dovecot"
TOKEN_ISSUER = "https://idp.example/"

_LISTENERS = (
    "imap",
    "imaps",
    "imap-haproxy",
    "pop3",
    "pop3s",
    "pop3-haproxy",
    "sieve",
    "sieves",
    "sieve-haproxy",
)

_NEEDED = {
    "imap-login": "dovecot-imapd",
    "pop3-login": "dovecot-pop3d",
    "managesieve-login": "dovecot-managesieved",
}

_BAD_SIGNS = re.compile(r"Fatal|Panic|throttling")

# Sections stand on one line here, joined by " ; ": Dovecot wants one setting or brace per line.
_CONF = """\
base_dir = {home}/run
state_dir = {home}/state
instance_name = {name}
protocols = imap pop3 sieve
listen = {address}
log_path = {home}/log
log_timestamp = "%Y-%m-%d %H:%M:%S.%{{usecs}} "
login_log_format_elements = user=<%u> method=%m rip=%r lip=%l mpid=%e %c session=<%{{session}}>
login_greeting = Dovecot {name} ready.
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
mail_home = {home}/mail/%u
mail_location = maildir:~/Maildir
first_valid_uid = 1
first_valid_gid = 1
ssl = yes
ssl_cert = <{home}/cert.pem
ssl_key = <{home}/key.pem
disable_plaintext_auth = {demand_tls}
login_trusted_networks = {trusted}
haproxy_trusted_networks = 127.0.0.0/8 ::1/128
auth_mechanisms = plain login xoauth2 oauthbearer
auth_master_user_separator = *
auth_verbose = yes
auth_failure_delay = 0 secs
mail_max_userip_connections = 50
imap_idle_notify_interval = 0
mail_plugins = {plugins}
protocol imap {{ mail_plugins = {plugins} imap_zlib }}
plugin {{ sieve = file:~/sieve;active=~/.dovecot.sieve }}
passdb {{ driver = oauth2 ; mechanisms = xoauth2 oauthbearer ; args = {home}/oauth2.conf.ext }}
passdb {{ driver = passwd-file ; mechanisms = plain login ; args = username_format=%u {home}/masters ; master = yes ; \
result_success = continue }}
passdb {{ driver = passwd-file ; mechanisms = plain login ; args = username_format=%u {home}/users }}
userdb {{ driver = passwd-file ; args = username_format=%u {home}/users }}
namespace inbox {{ inbox = yes ; separator = / }}
service imap-login {{ chroot = ; process_limit = 400 ; \
inet_listener imap {{ port = {imap} }} ; inet_listener imaps {{ port = {imaps} ; ssl = yes }} ; \
inet_listener imap-haproxy {{ port = {imap-haproxy} ; haproxy = yes }} }}
service pop3-login {{ chroot = ; \
inet_listener pop3 {{ port = {pop3} }} ; inet_listener pop3s {{ port = {pop3s} ; ssl = yes }} ; \
inet_listener pop3-haproxy {{ port = {pop3-haproxy} ; haproxy = yes }} }}
service managesieve-login {{ chroot = ; \
inet_listener sieve {{ port = {sieve} }} ; inet_listener sieves {{ port = {sieves} ; ssl = yes }} ; \
inet_listener sieve-haproxy {{ port = {sieve-haproxy} ; haproxy = yes }} }}
service imap {{ process_limit = 400 }}
service anvil {{ chroot = ; unix_listener anvil-auth-penalty {{ mode = 0 }} }}
service aggregator {{ chroot = }}
service ipc {{ chroot = }}
service stats {{ chroot = }}
service auth {{ unix_listener auth-userdb {{ user = {user} }} }}
"""

_OAUTH2 = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={home}/keys/
username_attribute = sub
issuers = {issuer}
"""


class Dovecot:
    """One Dovecot with IMAP, POP3 and ManageSieve: plain with STARTTLS, implicit TLS, and behind a PROXY header.

    `ports` maps imap, imaps, imap-haproxy, pop3, pop3s, pop3-haproxy, sieve, sieves and sieve-haproxy to ports of
    `address`. `trusted` are the networks whose ID and XCLIENT it believes. `MASTER_USER` may log in for everybody, by
    SASL authorisation identity or as `user*vestibule`. `plugins` are loaded for all mail, `extra` is added to its
    configuration, sections on one line as in this file. The end of the block fails if it logged a fatal error that
    does not match `excused`.
    """

    def __init__(
        self,
        name: str,
        certificate: CertificateFiles,
        users: Mapping[str, str],
        *,
        address: str = "",
        trusted: Sequence[str] = ("127.0.0.0/8",),
        demand_tls: bool = False,
        plugins: Sequence[str] = (),
        extra: str = "",
        excused: str = "",
    ) -> None:
        self.name = name
        self.address = address or unused_address()
        self.ports = dict(zip(_LISTENERS, free_ports(self.address, len(_LISTENERS)), strict=True))
        self._certificate = certificate
        self._users = dict(users)
        self._trusted = " ".join(trusted)
        self._demand_tls = demand_tls
        self._plugins = " ".join(("zlib", *plugins))
        self._extra = extra
        self._excused = re.compile(excused or "(?!)")

    def __enter__(self) -> Dovecot:
        self._dovecot = program("dovecot", "dovecot-core")
        for helper, package in _NEEDED.items():
            if not Path("/usr/lib/dovecot", helper).exists():
                raise MissingPackage(f"Debian package {package} is not installed")
        self.home = short_folder("vest-dovecot")
        try:
            self._write_files()
            self.start()
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on()
        stop_group(self._process)
        signs = [line for line in self.log().splitlines() if _BAD_SIGNS.search(line) and not self._excused.search(line)]
        shutil.rmtree(self.home, ignore_errors=True)
        assert not signs or error, f"Dovecot {self.name} logged: {signs}"

    # --- the process ---

    def start(self) -> None:
        """Start the process and return when all its ports greet."""
        self._process = start([self._dovecot, "-F", "-c", str(self.home / "conf")], self.home / "output")
        try:
            wait_until(self._greets, f"Dovecot {self.name} to greet")
        except BaseException:
            stop_group(self._process)
            raise

    def stop(self) -> None:
        """End the process; its clients are told so."""
        stop_group(self._process)

    def kill(self) -> None:
        """End the process and all its sessions at once, as a power failure would."""
        kill_group(self._process)
        (self.home / "run" / "master.pid").unlink(missing_ok=True)

    def hang(self) -> None:
        """Stop the process and all its sessions where they are; connections are still accepted, by the kernel."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `hang`; nothing happens if it runs, or has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGCONT)

    def doveadm(self, *arguments: str) -> str:
        """What a doveadm command prints. AssertionError with what it complains about, if it fails."""
        command = [program("doveadm", "dovecot-core"), "-c", str(self.configuration), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{command}: {done.returncode}: {done.stderr}"
        return done.stdout

    @property
    def configuration(self) -> Path:
        """Its configuration file, for a doveadm that is run at its side."""
        return self.home / "conf"

    # --- what it knows and says ---

    def add_user(self, user: str, password: str) -> None:
        """Let one more user in, and return when the server knows."""
        self._users[user] = password
        self._write_users()
        lookup = [program("doveadm", "dovecot-core"), "-c", str(self.configuration), "user", user]
        wait_until(lambda: _succeeds(lookup), f"Dovecot {self.name} to know {user}")

    def log(self) -> str:
        """Everything it has logged."""
        parts = [self.home / "log", self.home / "output"]
        return "".join(part.read_text(errors="replace") for part in parts if part.exists())

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """The first match of a regular expression in the log, as soon as there is one."""
        return wait_until(lambda: re.search(pattern, self.log()), f"{pattern!r} in the log of Dovecot {self.name}")

    def logins(self, user: str) -> list[str]:
        """The log lines of this user's completed logins."""
        return [line for line in self.log().splitlines() if f"Login: user=<{user}>" in line]

    def deliver(self, user: str, message: bytes) -> None:
        """Put a message into the user's INBOX, by the master user."""
        with imaplib.IMAP4(self.address, self.ports["imap"]) as imap:
            imap.login(f"{user}*{MASTER_USER}", MASTER_PASSWORD)
            status, data = imap.append("INBOX", "", "", message)
            assert status == "OK", data

    # --- details ---

    def _greets(self) -> bool:
        assert self._process.poll() is None, f"Dovecot {self.name} did not start: {self.log()[-2000:]}"
        try:
            with imaplib.IMAP4(self.address, self.ports["imap"], 5.0) as imap:
                return imap.noop()[0] == "OK" and "waiting" not in imap.welcome.decode().lower()
        except (OSError, imaplib.IMAP4.error):
            return False

    def _write_files(self) -> None:
        account = service_account()
        conf = _CONF.format(
            home=self.home,
            name=self.name,
            address=self.address,
            user=account.user,
            group=account.group,
            trusted=self._trusted,
            demand_tls="yes" if self._demand_tls else "no",
            plugins=self._plugins,
            **self.ports,
        )
        self._write("conf", _one_setting_per_line(conf + self._extra))
        self._write("cert.pem", self._certificate.chain.read_text())
        self._write("key.pem", self._certificate.key.read_text())
        self._write("masters", f"{MASTER_USER}:{{PLAIN}}{MASTER_PASSWORD}:\n")
        self._write("oauth2.conf.ext", _OAUTH2.format(home=self.home, issuer=TOKEN_ISSUER))
        self._write("keys/default/HS256/default", base64.b64encode(TOKEN_SECRET).decode())
        self._write_users()

    def _write_users(self) -> None:
        account = service_account()
        line = f"{{user}}:{{{{PLAIN}}}}{{password}}:{account.uid}:{account.gid}::{self.home}/mail/{{user}}::\n"
        self._write("users", "".join(line.format(user=user, password=word) for user, word in self._users.items()))

    def _write(self, name: str, text: str) -> None:
        path = self.home / name
        for folder in reversed(path.relative_to(self.home).parents[:-1]):
            (self.home / folder).mkdir(exist_ok=True)
            give_away(self.home / folder)
        draft = path.with_name(path.name + ".new")
        draft.write_text(text)
        draft.chmod(0o600)
        give_away(draft)
        draft.replace(path)


def token(user: str, *, issuer: str = TOKEN_ISSUER, seconds: int = 600, secret: bytes = TOKEN_SECRET) -> str:
    """A signed JSON Web Token (RFC 7519, HS256) that says who somebody is for the next `seconds`."""
    now = int(time.time())
    claims = {"sub": user, "iss": issuer, "iat": now - 5, "nbf": now - 5, "exp": now + seconds}
    signed = b".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return (signed + b"." + _base64url(hmac.new(secret, signed, hashlib.sha256).digest())).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _one_setting_per_line(text: str) -> str:
    return re.sub(r" \}", "\n}", re.sub(r" ;(?= )", "\n", re.sub(r" \{ ", " {\n", text)))


def _succeeds(command: Iterable[str]) -> bool:
    return subprocess.run(list(command), capture_output=True, check=False).returncode == 0

"""A pair of real Dovecot servers that keep the same mail: dsync over TCP, as operators set it up."""

from __future__ import annotations

import contextlib
import imaplib
import random
import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tls import ThrowawayAuthority

from .addresses import accepts, unused_address
from .clients import TIMEOUT_SECONDS
from .dovecot import MASTER_PASSWORD, MASTER_USER, Dovecot
from .processes import service_account
from .wait import wait_until

DOVEADM_PASSWORD = "doveadm secret"
DOVEADM_KEY = "doveadm key"

READER = "127.254.254.254"
"""Where the pair's own sessions come from, so that who reads the logs can tell them from those of users."""

_PLUGINS = ("notify", "replication")

_EXTRA = """\
mail_location = mdbox:~/mdbox
plugin {{ mail_replica = tcp:{partner}:{port} }}
replication_full_sync_interval = 1h
doveadm_password = {password}
doveadm_api_key = {key}
service doveadm {{ user = {user} ; inet_listener {{ port = {port} }} ; \
inet_listener http {{ port = {http} ; ssl = yes }} }}
service aggregator {{ chroot = ; fifo_listener replication-notify-fifo {{ user = {user} }} ; \
unix_listener replication-notify {{ user = {user} }} }}
service replicator {{ process_min_avail = 1 ; unix_listener replicator-doveadm {{ mode = 0600 ; user = {user} }} }}
import_environment = TZ DOVECOT_HOSTDOMAIN={name}.example
"""

_EXCUSED = (
    r"doveadm.*Fatal: (connect\(|master: service\(doveadm\): child \d+ returned error 89)|dsync.*(Fatal|Timed out)"
)
"""What a server logs whose partner is away; the second, of the same process, when its own words came late."""


class Row(NamedTuple):
    """What a server's replicator knows of a user: ages in seconds, None for never."""

    priority: str
    fast_sync: int | None
    full_sync: int | None
    success: int | None
    failed: bool

    @property
    def taken(self) -> bool:
        """Whether nothing waits: the synchronisation that was ordered last has been given to a dsync process, which
        may not even have begun; or it was the partner's, which makes `fast_sync` younger but not `success`."""
        return self.priority == "none" and self.fast_sync is not None


class Pair:
    """Two Dovecot servers that replicate every user to each other: `first` and `second`.

    `doveadm_port` is the port of dsync, `http_port` is that of the doveadm API, in TLS, the same on both. Within the
    block both run and are in sync at first; a test may kill, hang and start each.
    """

    def __init__(
        self, folder: Path, authority: ThrowawayAuthority, users: Mapping[str, str], names: Sequence[str] = ("a", "b")
    ) -> None:
        addresses = (unused_address(), unused_address())
        self.doveadm_port, self.http_port = _ports_free_on_both(addresses)
        self._password_file = folder / f"{names[0]}.doveadm.secret"
        self._password_file.write_text(DOVEADM_PASSWORD + "\n")
        self._ca_file = authority.write_ca(folder / f"{names[0]}.doveadm.ca.pem")
        self.users = dict(users)
        self.first, self.second = (
            self._server(name, own, other, folder, authority)
            for name, own, other in zip(names, addresses, reversed(addresses), strict=True)
        )

    def _server(self, name: str, own: str, other: str, folder: Path, authority: ThrowawayAuthority) -> Dovecot:
        extra = _EXTRA.format(
            name=name,
            partner=other,
            port=self.doveadm_port,
            http=self.http_port,
            password=DOVEADM_PASSWORD,
            key=DOVEADM_KEY,
            user=service_account().user,
        )
        certificate = authority.issue(folder, name, dns=[f"{name}.example"], ips=[own])
        return Dovecot(name, certificate, self.users, address=own, plugins=_PLUGINS, extra=extra, excused=_EXCUSED)

    def __enter__(self) -> Pair:
        with contextlib.ExitStack() as stack:
            for server in self.servers:
                stack.enter_context(server)
            for server in self.servers:
                wait_until(partial(accepts, server.address, self.doveadm_port), f"the doveadm port of {server.name}")
            self.wait_until_in_sync()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers:
            server.go_on()
        self._stack.__exit__(kind, error, trace)

    @property
    def servers(self) -> tuple[Dovecot, Dovecot]:
        """Both."""
        return self.first, self.second

    def partner(self, server: Dovecot) -> Dovecot:
        """The other one."""
        return self.second if server is self.first else self.first

    def gate(self, **more: Any) -> dict[str, Any]:
        """The [director.gate] that asks the replicators, with `more` keys."""
        url = f"https://{{host}}:{self.http_port}/doveadm/v1"
        keys = {"doveadm_url": url, "doveadm_password_file": self._password_file, "ca_file": self._ca_file}
        return {**keys, **more}

    # --- replication ---

    def wait_until_in_sync(self, *users: str, at: Dovecot | None = None) -> None:
        """Have these users, or all, synchronised by one server, the first if none is given, and return when they are.

        By order, since the replicator is told of changes half a second late, and of an expunge alone not at all. Who
        has failed is ordered again: by itself the replicator would leave such a user alone for five minutes.
        """
        server = at or self.first
        for user in users or ("*",):
            server.doveadm("replicator", "replicate", user)
        wait_until(lambda: self._in_sync_at_last(users, server), f"{server.name} to be in sync")

    def in_sync(self, *users: str, at: Dovecot) -> bool:
        """Whether what was ordered for these users, or all, has been done, and has not failed.

        Asked in this order: everybody's dsync was begun, none is under way any more, and none has failed.
        """
        wanted = set(users) or set(self.users)
        return (
            self._all(wanted, at, lambda row: row.taken)
            and not self.syncing(at)
            and self._all(wanted, at, lambda row: row.taken and not row.failed)
        )

    def replicator_status(self, server: Dovecot) -> dict[str, Row]:
        """What the server's replicator says about each user it knows."""
        lines = server.doveadm("-f", "tab", "replicator", "status", "*").splitlines()[1:]
        return {fields[0]: _row(fields[1:]) for fields in (line.split("\t") for line in lines)}

    def dsync_status(self, server: Dovecot) -> dict[str, str]:
        """What the server's dsync processes do, by user. "Waiting for handshake" is one that has not begun."""
        lines = server.doveadm("-f", "tab", "replicator", "dsync-status").splitlines()[1:]
        rows = [line.split("\t") for line in lines if line]
        return {user: status for user, _, status in rows if user}

    def syncing(self, server: Dovecot) -> bool:
        """Whether a synchronisation that the server has ordered has not ended, or not even begun."""
        return any(status.startswith("Waiting") for status in self.dsync_status(server).values())

    def _all(self, users: Iterable[str], server: Dovecot, condition: Callable[[Row], bool]) -> bool:
        rows = self.replicator_status(server)
        return all(user in rows and condition(rows[user]) for user in users)

    def _in_sync_at_last(self, users: Sequence[str], server: Dovecot) -> bool:
        if self.in_sync(*users, at=server):
            return True
        for user, row in self.replicator_status(server).items():
            if row.taken and row.failed and user in (users or self.users):
                server.doveadm("replicator", "replicate", user)
        return False

    # --- mail, past everything that is in front of the servers ---

    def write(self, server: Dovecot, user: str, message_id: str, mailbox: str = "INBOX") -> None:
        """Store a message with this Message-ID."""
        message = f"Message-ID: <{message_id}>\r\nSubject: {message_id}\r\n\r\n{message_id}\r\n".encode()
        with self.session(server, user) as imap:
            status, data = imap.append(mailbox, "", "", message)
            assert status == "OK", data

    def messages(self, server: Dovecot, user: str, mailbox: str = "INBOX") -> set[str]:
        """The Message-IDs of what is there, without the angle brackets; empty if there is no such mailbox."""
        with self.session(server, user) as imap:
            if imap.select(mailbox, readonly=True)[0] != "OK":
                return set()
            found = imap.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]
            headers = b"".join(part[1] for part in found if isinstance(part, tuple))
            return set(re.findall(r"<([^>]*)>", headers.decode()))

    def expunge(self, server: Dovecot, user: str, message_id: str, mailbox: str = "INBOX") -> None:
        """Delete a message for good."""
        with self.session(server, user) as imap:
            imap.select(mailbox)
            (numbers,) = imap.search(None, "HEADER", "MESSAGE-ID", f"<{message_id}>")[1]
            imap.store(numbers.decode(), "+FLAGS", r"(\Deleted)")
            imap.expunge()

    def session(self, server: Dovecot, user: str) -> Imap:
        """A session of the user, by the master user, from `READER`; it ends with the block."""
        imap = Imap(server.address, server.ports["imap"], TIMEOUT_SECONDS)
        imap.login(f"{user}*{MASTER_USER}", MASTER_PASSWORD)
        return imap


class Imap(imaplib.IMAP4):
    """An IMAP client at `READER`."""

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout, (READER, 0))


def _row(fields: Sequence[str]) -> Row:
    priority, fast, full, success, failed = fields
    return Row(priority, _age(fast), _age(full), _age(success), failed != "-")


def _age(text: str) -> int | None:
    if text == "-":
        return None
    hours, minutes, seconds = map(int, text.split(":"))
    return hours * 3600 + minutes * 60 + seconds


def _ports_free_on_both(addresses: Sequence[str]) -> tuple[int, int]:
    """Two ports that nobody listens on at either address, and that the kernel gives to nobody who asks for any."""
    while True:
        one, other = random.sample(range(20_000, 30_000), 2)
        if all(_is_free(address, port) for address in addresses for port in (one, other)):
            return one, other


def _is_free(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.bind((address, port))
        return True
    return False

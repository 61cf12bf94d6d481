"""What can be found out about mail that is missing, while the servers still run: for who reads a failed test."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from .dovecot import Dovecot
from .dsync import READER, Pair
from .fleet import Place, Receipt
from .witness import Session, Witness

_NOTABLE = re.compile(r" (Warning|Error|Fatal|Panic): ")

_MOST_LINES = 60
"""So many of a server's log lines about the user are shown; all are kept."""


class Inquest:
    """What became of a user's messages that are missing at one of the pair's servers at least.

    `receipts` are those of the missing messages, by Message-ID; `places` are the names of where clients connect. Copies
    of the servers' files go to `folder`. What the replicators say is asked for first, and at once.
    """

    def __init__(
        self, pair: Pair, witness: Witness, user: str, receipts: Mapping[str, Receipt], places: Mapping[Place, str]
    ) -> None:
        self._pair, self._user, self._receipts, self._places = pair, user, dict(receipts), places
        self._replicators = [line for server in pair.servers for line in _replicator(pair, server, user)]
        self._sessions = sorted((each for each in witness.sessions if each.user == user), key=lambda each: each.began)

    def story(self, folder: Path) -> str:
        """Everything, in lines."""
        for server in self._pair.servers:
            _copy(server.home, folder / server.name)
        parts = [
            self._replicators,
            [line for mark in sorted(self._receipts, key=self._sent) for line in self._of(mark)],
            [f"session {_session(each)}" for each in self._sessions],
            [line for server in self._pair.servers for line in self._mailbox(server)],
            [line for server in self._pair.servers for line in self._log(server)],
            self._later(),
            [f"all files of both servers are in {folder}"],
        ]
        return "\n".join(["", *(line for part in parts for line in part)])

    def _sent(self, mark: str) -> float:
        return self._receipts[mark].sent

    def _of(self, mark: str) -> Iterator[str]:
        """When and through what it was written, and which files of the servers have it."""
        receipt = self._receipts[mark]
        through = self._places.get(receipt.place, str(receipt.place)) if receipt.place else "nobody"
        yield f"{mark}: sent {_clock(receipt.sent)}, acknowledged {_clock(receipt.acknowledged)}, through {through}"
        open_then = [s for s in self._sessions if s.began <= receipt.acknowledged and receipt.sent <= s.ended]
        yield f"  sessions then: {'; '.join(map(_session, open_then)) or 'none'}"
        for server in self._pair.servers:
            files = [path.name for path in _storage(server, self._user) if mark.encode() in path.read_bytes()]
            yield f"  in the storage of {server.name}: {', '.join(files) or 'no'}"

    def _mailbox(self, server: Dovecot) -> Iterator[str]:
        """The INBOX as the server has it, and those of the missing messages that it has."""
        status = server.doveadm("-f", "flow", "mailbox", "status", "-u", self._user, _STATUS, "INBOX")
        yield f"{server.name}: {status.strip()}"
        fields = "uid guid date.saved hdr.message-id"
        found = server.doveadm("-f", "tab", "fetch", "-u", self._user, fields, "mailbox", "INBOX").splitlines()[1:]
        yield from (f"{server.name} has {line}" for line in found if _mark(line) in self._receipts)

    def _log(self, server: Dovecot) -> Iterator[str]:
        """What the server has logged about the user: all that is notable, and the last of the rest."""
        lines = [line for line in server.log().splitlines() if self._user in line and f"rip={READER}" not in line]
        notable = [line for line in lines if _NOTABLE.search(line)]
        shown = sorted({*notable[-_MOST_LINES:], *lines[-_MOST_LINES:]})
        yield from (f"{server.name} logged {line}" for line in shown)

    def _later(self) -> list[str]:
        """What another synchronisation brings, and a full one: what was late is not lost."""
        first = self._pair.first
        said = []
        for kind, flags in (("another", ()), ("a full", ("-f",))):
            first.doveadm("replicator", "replicate", *flags, self._user)
            try:
                self._pair.wait_until_in_sync(self._user)
                said.append(f"after {kind} synchronisation there are still missing: {self._missing()}")
            except AssertionError as error:
                said.append(f"{kind} synchronisation did not end well: {error}")
        return said

    def _missing(self) -> dict[str, list[str]]:
        marks = self._receipts.keys()
        return {server.name: sorted(marks - self._pair.messages(server, self._user)) for server in self._pair.servers}


_STATUS = "messages uidnext uidvalidity highestmodseq guid"


def _replicator(pair: Pair, server: Dovecot, user: str) -> Iterator[str]:
    yield f"{server.name}: replicator: {pair.replicator_status(server).get(user)}"
    yield f"{server.name}: dsync processes: {pair.dsync_status(server)}"


def _storage(server: Dovecot, user: str) -> Sequence[Path]:
    return sorted((server.home / "mail" / user / "mdbox" / "storage").glob("m.*"))


def _mark(line: str) -> str:
    return line.rpartition("<")[2].rstrip(">\t ")


def _session(session: Session) -> str:
    return f"{session.protocol} {session.session} at {session.server} {_clock(session.began)}-{_clock(session.ended)}"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%H:%M:%S.%f")[:-3]


def _copy(source: Path, target: Path) -> None:
    """All plain files and folders; a server that runs may take some away meanwhile."""
    try:
        shutil.copytree(source, target, ignore=_no_sockets, dirs_exist_ok=True)
    except shutil.Error as error:
        (target / "not copied").write_text(str(error))


def _no_sockets(folder: str, names: Collection[str]) -> set[str]:
    return {name for name in names if (path := Path(folder, name)).is_socket() or path.is_fifo()}

"""A content synchronisation's messages become contents of the store (RFC 4533 section 3). No I/O, no clock.

First comes the refresh stage: what has changed since the cookie. Servers tell what is gone in one of two ways: in a
delete phase they name it, in a present phase they name everything that is still there. Asked without a cookie they name
everything as well, whatever phase they then call it (OpenLDAP calls it a delete phase), so that is compared too. The
cookies of the refresh stage are kept when it is over: only then is everything known that is gone. Then changes follow
as they happen, each with its cookie.
"""

from __future__ import annotations

from collections.abc import Sequence

from ldapmap.client.messages import Result
from ldapmap.client.results import SUCCESS, described, search_verdict
from ldapmap.errors import Misconfigured, Unavailable
from ldapmap.mirror.contents import Contents, purge
from ldapmap.mirror.cookie import merged
from ldapmap.mirror.errors import ReloadNeeded
from ldapmap.mirror.store import Writer
from ldapmap.mirror.syncrepl import (
    ADD,
    DELETE,
    MODIFY,
    IdSet,
    NewCookie,
    RefreshDelete,
    RefreshPresent,
    SyncDone,
    SyncEntry,
    SyncEvent,
)
from ldapmap.mirror.transaction import Transaction

MOST_NAMED = 50_000_000
"""Entries that a present phase may name; about 100 bytes each."""

_REFRESH_REQUIRED, _UNWILLING = 4096, 53
_SENT = (ADD, MODIFY)
_BEHIND_US = "consumer state is newer"


class Consumer:
    """One sync search. After an exception it is of no use any more: search again, with a new one.

    `name` is that of its cookie in the store; `cookie` is what to search with. A sync without a cookie into a file that
    is being loaded compares nothing, since there is nothing yet.
    """

    def __init__(self, writer: Writer, contents: Contents, *, name: str, purge_limit: float) -> None:
        self.cookie = writer.cookie(name)
        self.refreshed = False
        """The refresh stage is over."""
        self.purged = 0
        """Entries removed because the server did not name them any more."""
        self.over = False
        """The search is over without a fault; it does not happen to one that was asked to persist."""
        self._writer = writer
        self._contents = contents
        self._name = name
        self._purge_limit = purge_limit
        self._everything = not self.cookie
        """The server was asked for everything, so what it does not name is gone."""
        self._named: set[bytes] | None = None if writer.loading else set()
        """What the refresh stage has named; None: it does not matter (any more)."""
        self._new = b""
        """The cookie that will be kept when the refresh stage is over."""

    def consume(self, events: Sequence[SyncEvent]) -> None:
        """Apply them in one transaction.

        Raises ReloadNeeded, PurgeRefused, Full, or Unavailable for a search that is over; nothing is changed then.
        """
        with self._writer.transaction() as change:
            before = self.cookie
            for event in events:
                if type(event) is SyncEntry:  # nearly all are
                    self._entry(change, event)
                else:
                    self._other(change, event)
            if self.cookie != before:
                change.set_cookie(self._name, self.cookie)

    # --- events ---

    def _entry(self, change: Transaction, event: SyncEntry) -> None:
        state = event.state
        if state in _SENT:
            self._contents.put(change, event.entry_id, event.dn, event.values)
        elif state == DELETE:
            self._contents.delete(change, event.entry_id)
        if self._named is not None and state != DELETE:
            self._name_ids((event.entry_id,))
        if event.cookie is not None:
            self._keep(event.cookie)

    def _other(self, change: Transaction, event: SyncEvent) -> None:
        match event:
            case IdSet():
                self._id_set(change, event)
            case NewCookie():
                self._keep(event.cookie)
            case RefreshPresent():
                self._purge(change)
                self._phase_over(event.cookie, event.done)
            case RefreshDelete():
                if self._everything and event.done:
                    self._purge(change)
                self._phase_over(event.cookie, event.done)
            case SyncDone():
                self._done(change, event)
            case Result():
                raise _fault(event)

    def _id_set(self, change: Transaction, event: IdSet) -> None:
        if not event.deletes:
            self._name_ids(event.ids)
        else:
            for entry_id in event.ids:
                self._contents.delete(change, entry_id)
        self._keep(event.cookie)

    def _done(self, change: Transaction, event: SyncDone) -> None:
        if event.result.code != SUCCESS:
            raise _fault(event.result)
        if not self.refreshed and (self._everything or not event.refresh_deletes):
            self._purge(change)
        self._phase_over(event.cookie, True)
        self.over = True

    # --- details ---

    def _phase_over(self, cookie: bytes | None, done: bool) -> None:
        if cookie == b"" and self.cookie and not self.refreshed:
            raise ReloadNeeded("the server does not understand the cookie we have")
        self._keep(cookie)
        if done and not self.refreshed:
            self.refreshed = True
            self._named = None
            self._keep(self._new)

    def _keep(self, cookie: bytes | None) -> None:
        if cookie and self.refreshed:
            self.cookie = merged(self.cookie, cookie)
        elif cookie:
            self._new = merged(self._new, cookie)

    def _name_ids(self, ids: Sequence[bytes]) -> None:
        if self._named is not None:
            self._named.update(ids)
            if len(self._named) > MOST_NAMED:
                raise Unavailable("the server names more entries than can be")

    def _purge(self, change: Transaction) -> None:
        if self._named is not None:
            self.purged += purge(self._contents, change, self._named, self._purge_limit)
            self._named = None


def _fault(result: Result) -> Exception:
    """What the end of a search that should go on means."""
    told = described(result)
    if result.code == _REFRESH_REQUIRED or (result.code == _UNWILLING and _BEHIND_US in result.diagnostic):
        return ReloadNeeded(told)
    if result.code in _OUR_FAULTS:
        return Misconfigured(f"{_OUR_FAULTS[result.code]}: {told}")
    return search_verdict(result) or Unavailable(f"the server has ended the search without RFC 4533's control: {told}")


_OUR_FAULTS = {
    4: "bind_dn may not read all entries at once, its limits on the server are too low",
    12: "the server does not synchronise contents (syncprov)",
}

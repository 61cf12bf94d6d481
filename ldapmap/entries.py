"""What the directory says about a user, read from an entry's attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ldapmap.errors import EmptyPassword, Misconfigured, NoRoute
from ldapmap.settings import Attributes

_NOT_A_PASSWORD = b"\0 \t\r\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """A user: `user` is the one name for stickiness, limits and logs, `dn` what the password is checked against.

    `shard` and `preferred` are the attributes' values without surrounding blanks; `login` is the name for the backend
    (empty: `user`).
    """

    user: str
    dn: str
    shard: str
    preferred: str = ""
    login: str = ""


class EntryReader:
    """Reads users out of entries, as the attribute settings say.

    The user's one name is the entry's value of the `user` attribute rather than what was typed, so that every spelling
    which the directory takes for the same name (case, full-width letters) is one user. Of several values the one that
    equals the search key is taken, else the smallest. Where people log in with several values of one entry, they are
    therefore several users to us: `user` should be an attribute with one value.
    """

    def __init__(self, attributes: Attributes, *, lower_case: bool) -> None:
        self._attributes = attributes
        self._lower_case = lower_case
        self._user_key = _key(attributes.user)
        self._shard_key = _key(attributes.shard)
        self._preferred_key = _key(attributes.preferred)
        self._login_key = _key(attributes.login)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The attributes to ask for, each once."""
        names = self._attributes
        chosen = {name.lower(): name for name in (names.user, names.shard, names.preferred, names.login) if name}
        return tuple(chosen.values())

    def read(self, dn: str, values: Mapping[bytes, Sequence[bytes]]) -> Entry:
        """The user of this entry. Raises NoRoute or Misconfigured when the entry is of no use."""
        shard = _single(self._shard_key, dn, values)
        if not shard:
            raise NoRoute(f"{dn!r} has no {self._attributes.shard}")
        preferred = _single(self._preferred_key, dn, values) if self._preferred_key else ""
        login = _single(self._login_key, dn, values) if self._login_key else ""
        return Entry(self._user(dn, values), dn, shard, preferred, login)

    def _user(self, dn: str, values: Mapping[bytes, Sequence[bytes]]) -> str:
        """One name whatever was typed: of several values the smallest, or a user could be on two backends at once."""
        found = [_text(self._user_key, dn, value) for value in values.get(self._user_key, ())]
        users = [user.lower() if self._lower_case else user for user in found if user]
        if not users:
            raise Misconfigured(f"{dn!r} has no {self._attributes.user} that we may read")
        return min(users)


def refuse_empty(entry: Entry, password: bytes) -> None:
    """Raise before anything is sent that a server could take for an anonymous bind."""
    if not password.strip(_NOT_A_PASSWORD):
        raise EmptyPassword("the password is empty or blank")
    if not entry.dn:
        raise Misconfigured("the entry has no DN")


def _key(name: str) -> bytes:
    return name.lower().encode()


def _single(name: bytes, dn: str, values: Mapping[bytes, Sequence[bytes]]) -> str:
    found = values.get(name, ())
    if len(found) > 1:
        raise NoRoute(f"{dn!r} has {len(found)} values of {name.decode()}, of which one is allowed")
    return _text(name, dn, found[0]) if found else ""


def _text(name: bytes, dn: str, value: bytes) -> str:
    try:
        text = value.decode().strip()
    except UnicodeDecodeError:
        raise Misconfigured(f"{name.decode()} of {dn!r} is not UTF-8") from None
    if not text.isprintable():
        raise Misconfigured(f"{name.decode()} of {dn!r} has a control character")
    return text

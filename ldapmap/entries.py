"""What the directory says about a user, read from an entry's attributes."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import NamedTuple

from ldapmap.domains import Place
from ldapmap.errors import EmptyPassword, Misconfigured, NoRoute
from ldapmap.names import prepared
from ldapmap.policy import Policy, PolicyReader
from ldapmap.sections import lower
from ldapmap.settings import DirectorySettings
from ldapmap.values import Values, single, text_of

_NOT_A_PASSWORD = b"\0 \t\r\n"
_NONE = (b"",)
_PLAIN = re.compile(rb"[!-~]+")
_made = tuple.__new__
_PLACE = re.compile(r"(?:\[(?P<bracketed>[^]\[]+)\]|(?P<host>[^]\[:]+))(?::[A-Za-z0-9-]+)?")


class Entry(NamedTuple):
    """A user: `user` is the one name for stickiness, limits and logs, `dn` what the password is checked against.

    `shard` and `preferred` are the attributes' values without surrounding blanks; `login` is the name for the backend
    (empty: `user`); `policy` is what `Policy.write` made of the restrictions, empty when there are none.
    """

    user: str
    dn: str
    shard: str
    preferred: str = ""
    login: str = ""
    policy: str = ""

    def at(self, place: Place) -> Entry:
        """The user as seen by those who were looked for in `place`."""
        if not place.suffix and not place.passthrough:
            return self
        policy = Policy.read(self.policy)._replace(passthrough=place.passthrough).write()
        return self._replace(user=self.user + place.suffix, policy=policy)


class EntryReader:
    """Reads users out of entries, as the settings say.

    The user's one name is the entry's value of the `user` attribute rather than what was typed, so that every spelling
    which the directory takes for the same name (case, full-width letters) is one user, by whichever alias it was found.
    Of several values the smallest is taken, or a user could be on two backends at once.
    """

    def __init__(self, settings: DirectorySettings) -> None:
        self._attributes = settings.attributes
        self._lower_case = settings.names.lower_case
        self._policy = PolicyReader(settings)
        self._user_key = _key(self._attributes.user)
        self._alias_keys = [_key(name) for name in self._attributes.aliases]
        self._shard_key = _key(self._attributes.shard)
        self._preferred_key = _key(self._attributes.preferred)
        self._login_key = _key(self._attributes.login)
        self._changed_key = _key(self._attributes.password_changed)
        own = self._attributes
        self._may_be_plain = not own.login and not self._policy.wanted and own.shard_form == "name"
        self._one_name = not own.aliases and not own.password_changed

    @property
    def wanted(self) -> tuple[str, ...]:
        """The attributes that `read` looks at, each once."""
        own = self._attributes
        names = (own.user, own.shard, own.preferred, own.login, *self._policy.wanted)
        return tuple({name.lower(): name for name in names if name}.values())

    @property
    def wanted_by_mirror(self) -> tuple[str, ...]:
        """The attributes that `read`, `names` and `password_changed` look at, each once."""
        names = (*self.wanted, *self._attributes.aliases, self._attributes.password_changed)
        return tuple({name.lower(): name for name in names if name}.values())

    def read(self, dn: str, values: Values) -> Entry:
        """The user of this entry. Raises NoRoute or Misconfigured when the entry is of no use."""
        fields = self._plain_fields(values)
        if fields is not None:
            user, shard, preferred = fields
            return _made(Entry, (user.decode(), dn, shard.decode(), preferred.decode(), "", ""))
        return self._read(dn, values)

    def _read(self, dn: str, values: Values) -> Entry:
        """`read` for every entry."""
        shard = single(self._shard_key, dn, values)
        login = single(self._login_key, dn, values) if self._login_key else ""
        if self._attributes.shard_form == "address":
            named, shard = _address(shard, dn)
            login = login or named
        if not shard:
            raise NoRoute(f"{dn!r} has no {self._attributes.shard}")
        preferred = single(self._preferred_key, dn, values) if self._preferred_key else ""
        policy = self._policy.read(dn, values).write() if self._policy.wanted else ""
        return Entry(self._user(dn, values), dn, shard, preferred, login, policy)

    def plain(self, dn: bytes, values: Values) -> tuple[bytes, bytes] | None:
        """The user's one name, prepared for comparison, and the fields of `read`'s entry with NULs between them.

        Only for plain entries with one name and a DN in ASCII; None for all others, also for those that `read` refuses.
        It is for first loads: a fourth of the time.
        """
        fields = self._plain_fields(values) if self._one_name else None
        if fields is None or not dn.isascii() or b"\0" in dn:
            return None
        user, shard, preferred = fields
        return user.lower(), b"\0".join((user, dn, shard, preferred, b"", b""))

    def _plain_fields(self, values: Values) -> tuple[bytes, bytes, bytes] | None:
        """User, shard and preferred backend of what nearly all entries are; None for all others.

        They are printable ASCII without blanks in single values, with nothing that would need another look.
        """
        if not self._may_be_plain:
            return None
        try:
            (user,), (shard,) = values[self._user_key], values[self._shard_key]
            (preferred,) = values.get(self._preferred_key, _NONE) if self._preferred_key else _NONE
        except (KeyError, ValueError):
            return None
        if not user or not shard or not _PLAIN.fullmatch(user + shard + preferred):
            return None
        return (user.lower() if self._lower_case else user), shard, preferred

    def names(self, values: Values) -> list[str]:
        """Every name by which the entry is found, prepared for comparison, the user's own first.

        Values that nobody can type, because they are not UTF-8 or blank, are passed over.
        """
        found = values.get(self._user_key, ())
        if len(found) == 1 and not self._alias_keys and found[0].isascii():  # nearly all are so
            name = prepared(found[0].decode())
            return [name] if name else []
        own = sorted(_texts(self._user_key, values), key=self._cased)
        others = [name for key in self._alias_keys for name in _texts(key, values)]
        return list(dict.fromkeys(filter(None, map(prepared, (*own, *others)))))

    def password_changed(self, values: Values) -> bytes:
        """What changes with the password, if the directory tells."""
        return b"\n".join(sorted(values.get(self._changed_key, ()))) if self._changed_key else b""

    def _user(self, dn: str, values: Values) -> str:
        """One name whatever was typed."""
        found = [text_of(self._user_key, dn, value) for value in values.get(self._user_key, ())]
        users = [self._cased(user) for user in found if user]
        if not users:
            raise Misconfigured(f"{dn!r} has no {self._attributes.user} that we may read")
        return min(users)

    def _cased(self, user: str) -> str:
        return lower(user) if self._lower_case else user


def refuse_empty(entry: Entry, password: bytes) -> None:
    """Raise before anything is sent that a server could take for an anonymous bind."""
    if not password.strip(_NOT_A_PASSWORD):
        raise EmptyPassword("the password is empty or blank")
    if not entry.dn:
        raise Misconfigured("the entry has no DN")


def _address(value: str, dn: str) -> tuple[str, str]:
    """User and host of `[user@]host[:port]`; an IPv6 address with a port is in brackets. Raises Misconfigured."""
    if not value:
        return "", ""
    user, at, place = value.rpartition("@")
    match = _PLACE.fullmatch(place)
    host = (match["bracketed"] or match["host"]).strip() if match is not None else _ipv6(place)
    if not host or (at and not user.strip()):
        raise Misconfigured(f"{value!r} of {dn!r} is not of the form [user@]host[:port]")
    return user.strip(), host


def _ipv6(place: str) -> str:
    """The address without brackets, which leaves no room for a port; empty when it is none."""
    try:
        IPv6Address(place)
    except ValueError:
        return ""
    return place


def _texts(key: bytes, values: Values) -> list[str]:
    """The values that are UTF-8, without surrounding blanks."""
    return [
        text.strip() for value in values.get(key, ()) if (text := value.decode("utf-8", "ignore")).encode() == value
    ]


def _key(name: str) -> bytes:
    return name.lower().encode()

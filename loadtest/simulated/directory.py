"""A directory of any number of users that keeps none of them: entries are made when somebody asks (LDAP, RFC 4511)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from loadtest.content import DOMAIN, shard_of
from loadtest.people import PEOPLE
from loadtest.responder import INVALID_CREDENTIALS, SUCCESS, Responder, entry

USERS = 500_000
"""Users there are, unless the site is told otherwise."""

WRONG = b"wrong"
"""The one password that is not right."""

_NAME = re.compile(rb"user([0-9]{1,7})(?:@" + re.escape(DOMAIN).encode() + rb")?", re.IGNORECASE)
_DN = re.compile(rb"uid=([^,]+),", re.IGNORECASE)


class SimulatedDirectory(Responder):
    """One connection; a subclass for every site has its `shards` and its number of `users`.

    It knows `user0000000` and `user0`, and so on, by uid and by mail, with `uid`, `mail` and `mailHost`, the shard that
    `shard_of` gives. Everybody's password is any but `wrong`.
    """

    shards: Sequence[str] = ("s1",)
    users = USERS

    def find(self, name: bytes) -> bytes | None:
        match = _NAME.fullmatch(name)
        if match is None or int(match[1]) >= self.users:
            return None
        uid = b"user" + match[1]
        shard = shard_of(uid.decode(), self.shards)
        mail = b"%b@%b" % (uid, DOMAIN.encode())
        return entry(b"uid=%b,%b" % (uid, PEOPLE.encode()), {b"uid": uid, b"mail": mail, b"mailHost": shard.encode()})

    def verify(self, dn: bytes, password: bytes) -> bytes:
        match = _DN.match(dn)
        known = match is None or self.find(match[1]) is not None
        return SUCCESS if known and password != WRONG else INVALID_CREDENTIALS


def directory_of(shards: Sequence[str], users: int) -> type[SimulatedDirectory]:
    """The connections of one directory."""
    return type("SiteDirectory", (SimulatedDirectory,), {"shards": tuple(shards), "users": users})

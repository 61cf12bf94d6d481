"""A directory of any size as LDIF: `vestibule loadtest directory N > people.ldif`.

The base entry, the container, the identity that searches, and N users with `uid`, `mail`, `mailHost`, `cn`, `sn` and
`userPassword` (schemas core, cosine, inetorgperson and misc), for `slapadd`. The same number and seed give the same
bytes.

All users have the same password. Their {SSHA} values are taken in turn from a small pool of salted hashes, because
hashing each one anew would cost more than everything else; a server checks them like any others.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from random import Random

BASE = "dc=example,dc=org"
PEOPLE = f"ou=people,{BASE}"
SERVICE_DN = f"cn=vestibule,{BASE}"
SERVICE_PASSWORD = "service secret"
PASSWORD = "correct horse"
"""Everybody's."""

SHARDS = tuple(f"shard{number:02}" for number in range(1, 21))
"""The values of `mailHost`."""

SEED = 1
POOL = 64
"""Salted hashes that the users share."""

CHUNK = 2000
"""Entries in one piece of text."""

_GIVEN = ("Ada", "Bela", "Carla", "Dora", "Emil", "Fritz", "Greta", "Hugo", "Ida", "Jan", "Lena", "Nora", "Paul", "Tom")
_FAMILY = ("Adler", "Berg", "Conrad", "Decker", "Ernst", "Falk", "Graf", "Haas", "Jung", "Kern", "Lang", "Mohr", "Roth")


def uid(number: int) -> str:
    """The login name of the user of this number, from 0."""
    return f"user{number:07}"


def dn(number: int) -> str:
    """The DN of the user of this number."""
    return f"uid={uid(number)},{PEOPLE}"


def ssha(password: str, salt: bytes) -> str:
    """A `userPassword` value in the {SSHA} scheme."""
    digest = hashlib.sha1(password.encode() + salt).digest()  # noqa: S324 (the scheme's hash)
    return "{SSHA}" + base64.b64encode(digest + salt).decode()


def ldif(count: int, *, seed: int = SEED, hashes: Sequence[str] = ()) -> Iterator[str]:
    """The whole directory in pieces of a few hundred kilobytes; `hashes` are `userPassword` values to use instead."""
    random = Random(seed)
    yield _foundation(ssha(SERVICE_PASSWORD, random.randbytes(8)))
    pool = cycle(hashes or [ssha(PASSWORD, random.randbytes(8)) for _ in range(POOL)])
    users = _users(count, random, pool)
    while piece := "".join(islice(users, CHUNK)):
        yield piece


def _users(count: int, random: Random, pool: Iterator[str]) -> Iterator[str]:
    names = [(given, family) for given in _GIVEN for family in _FAMILY]
    any_name, any_shard = len(names), len(SHARDS)
    for number, password in zip(range(count), pool, strict=False):
        given, family = names[int(random.random() * any_name)]
        user = uid(number)
        yield (
            f"dn: uid={user},{PEOPLE}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n"
            f"uid: {user}\nmail: {user}@example.org\nmailHost: {SHARDS[int(random.random() * any_shard)]}\n"
            f"cn: {given} {family}\nsn: {family}\nuserPassword: {password}\n\n"
        )


def _foundation(service: str) -> str:
    return (
        f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
        f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n"
        f"dn: {SERVICE_DN}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
        f"cn: vestibule\nuserPassword: {service}\n\n"
    )


DESCRIPTION = "Write a directory of N users as LDIF, for slapadd."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vestibule loadtest directory`."""
    parser.add_argument("count", metavar="N", type=int, help="how many users")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed, another directory (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Write it to the standard output; the exit code."""
    sys.stdout.writelines(ldif(options.count, seed=options.seed))
    return 0

"""Who the users are: numbered ones with one password, or those of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.fleet.clients import Account
from loadtest.people import uid


class NoAccounts(Exception):
    """A file of users or of their password that is of no use; the text says why."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """`user0000000` and so on, as `vestibule loadtest directory` writes them, all with one password."""

    password: str

    def account(self, number: int) -> Account:
        return Account(uid(number), self.password)


@dataclass(frozen=True, slots=True)
class Listed:
    """Those of a file."""

    accounts: Sequence[Account]

    def account(self, number: int) -> Account:
        return self.accounts[number % len(self.accounts)]


def read_password(path: Path) -> str:
    """A password from a file, without the line's end. Raises NoAccounts."""
    try:
        return path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as fault:
        raise NoAccounts(f"{path}: {fault}") from None


def read_users(path: Path, password: str) -> list[Account]:
    """One user a line, as `name` or `name:password`; empty lines and those that begin with # do not count.

    `password` is that of users who have none of their own. Raises NoAccounts.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise NoAccounts(f"{path}: {fault}") from None
    accounts = [_account(line, password) for line in lines if line.strip() and not line.startswith("#")]
    if not accounts:
        raise NoAccounts(f"{path}: there is no user in it; write one a line, as name or name:password")
    return accounts


def _account(line: str, password: str) -> Account:
    user, colon, own = line.partition(":")
    return Account(user.strip(), own if colon else password)

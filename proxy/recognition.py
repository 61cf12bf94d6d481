"""Who it is: the directory's word on a name and a password, and the rules for those who may act for others."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address
from typing import NamedTuple, TypeVar

import ldapmap
from ldapmap import Directory, Entry, Policy
from proxy.protocols.credentials import Credentials
from proxy.protocols.failures import Failure, Kind
from proxy.sections import AuthSettings, Network, ProtocolName

T = TypeVar("T")

#: What the directory raises, the most particular first.
_KINDS: tuple[tuple[type[ldapmap.DirectoryError], Kind], ...] = (
    (ldapmap.Misconfigured, Kind.DIRECTORY_MISCONFIGURED),
    (ldapmap.Unavailable, Kind.DIRECTORY_UNAVAILABLE),
    (ldapmap.PasswordExpired, Kind.EXPIRED),
    (ldapmap.AccountDisabled, Kind.DISABLED),
    (ldapmap.DirectoryError, Kind.BAD_CREDENTIALS),
)


class Identity(NamedTuple):
    """The name whose password, token or certificate counts, and the name of the user whose mail is wanted.

    Both are as typed; `acts_for` is empty when nobody else is meant.
    """

    name: str
    acts_for: str = ""


class Recognised(NamedTuple):
    """The user whose mail is wanted, who has authenticated for it (the same but for masters), and whether by us.

    A token is not `verified`, nor is a password that is passed through: the backend that gets it will judge it. `name`
    is how the user whose mail is wanted was called.
    """

    user: Entry
    by: Entry
    verified: bool
    name: str


class Recognition:
    """Recognises clients by one directory and one set of rules."""

    def __init__(self, directory: Directory, auth: AuthSettings, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._auth = auth
        self._clock = clock

    async def recognise(
        self, credentials: Credentials, certificate_user: str, address: str, protocol: ProtocolName
    ) -> Recognised:
        """Raises `Failure`: BAD_CREDENTIALS, EXPIRED, DISABLED, NOT_AUTHORIZED or one of the directory's own kinds.

        The password is verified before anything else is judged: who cannot prove a name learns nothing about rights.
        Where only the backend can verify it, what the entry forbids looks like a wrong password.
        """
        identity = identify(credentials, certificate_user, self._auth)
        entry = await self.find(identity.name)
        try:
            verified = await self._judge(entry, credentials, address, protocol)
            user = await self._acted_for(entry, identity.acts_for, address) if identity.acts_for else entry
        except Failure as failure:
            failure.user = entry.user
            raise
        return Recognised(user, entry, verified, identity.acts_for or identity.name)

    async def find(self, name: str, *, fresh: bool = False) -> Entry:
        """The directory's entry for a name; `fresh`: as a server says now."""
        return await self._ask(self._directory.find(name, fresh=fresh))

    async def _judge(self, entry: Entry, credentials: Credentials, address: str, protocol: ProtocolName) -> bool:
        """Let this entry's user in, or raise; whether the password (or a certificate) was verified here."""
        policy = Policy.read(entry.policy) if entry.policy else None
        external = credentials.mechanism == "EXTERNAL"
        verified = not credentials.is_token and (external or policy is None or not policy.passthrough)
        if verified and not external:
            await self._ask(self._directory.verify(entry, credentials.secret.reveal()))
        if policy is not None:
            self._admit(policy, protocol, address, verified=verified)
        return verified

    def _admit(self, policy: Policy, protocol: ProtocolName, address: str, *, verified: bool) -> None:
        refusal = policy.refusal(protocol, address, self._clock())
        if refusal is None:
            return
        if not verified:
            raise Failure(Kind.BAD_CREDENTIALS, refusal.reason)
        raise self._failure(refusal)

    async def _acted_for(self, entry: Entry, name: str, address: str) -> Entry:
        """The user whom `entry` names; only a master may name another than itself, and nobody learns who exists."""
        forbidden = _forbidden(entry.user, address, self._auth)
        try:
            user = await self.find(name)
        except Failure as failure:
            away = failure.kind is Kind.DIRECTORY_UNAVAILABLE
            if failure.kind is Kind.BAD_CREDENTIALS or (forbidden and not away):
                raise Failure(Kind.NOT_AUTHORIZED, forbidden or "no such user to act for") from None
            raise
        if forbidden and user.user != entry.user:
            raise Failure(Kind.NOT_AUTHORIZED, forbidden)
        return user

    async def _ask(self, question: Awaitable[T]) -> T:
        try:
            return await question
        except ldapmap.DirectoryError as error:
            raise self._failure(error) from None

    def _failure(self, error: ldapmap.DirectoryError) -> Failure:
        """Translate what the directory raises, here and nowhere else.

        A disabled account looks like a wrong password unless the operator wants it told: it tells that it exists.
        """
        kind = next(kind for raised, kind in _KINDS if isinstance(error, raised))
        if kind is Kind.DISABLED and not self._auth.reveal_disabled:
            kind = Kind.BAD_CREDENTIALS
        return Failure(kind, error.reason)


def identify(credentials: Credentials, certificate_user: str, auth: AuthSettings) -> Identity:
    """Whom the credentials name. A separator has a meaning only where masters are configured to type it."""
    if credentials.mechanism == "EXTERNAL":
        return Identity(certificate_user, credentials.authzid)
    if auth.master_separator and not credentials.authzid:
        user, _, master = credentials.user.rpartition(auth.master_separator)
        if user and master:
            return Identity(master, user)
    return Identity(credentials.user, credentials.authzid)


def within(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address belongs to one of the networks."""
    if not networks:
        return False
    parsed = ip_address(address)
    return any(parsed in network for network in networks)


def _forbidden(user: str, address: str, auth: AuthSettings) -> str:
    """Why `user` (canonical) may not act for others from `address`; empty when it may."""
    if user not in auth.masters:
        return f"{user} is no master"
    return "" if within(address, auth.masters_from) else f"{user} may not act for others from this network"

"""What an entry says about who may log in, when, how and from where; beside what the server says to a bind."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Literal, NamedTuple

from ldapmap.errors import AccountDisabled, DirectoryError, Misconfigured, PasswordExpired
from ldapmap.names import prepared
from ldapmap.sections import RuleSettings
from ldapmap.settings import DirectorySettings
from ldapmap.values import Values, text_of

_encoded = json.JSONEncoder(separators=(",", ":")).encode
PROTOCOLS = ("imap", "pop3", "managesieve")

_NEVER = 0.0
_FILETIME_NEVER = (0, 2**63 - 1)
_FILETIME_EPOCH = 11_644_473_600  # seconds from 1601, where Windows begins to count, to 1970
_DAY = 86_400
_SEPARATORS = str.maketrans(",;", "  ")
_LONGEST_REASON = 200  # characters; it is for one line of the log
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,19}")
_GENERALIZED = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})(?:([0-9]{2})([0-5][0-9]|60)?)?(?:[.,][0-9]+)?(?:Z|([+-][0-9]{2})([0-9]{2})?)"
)


class Policy(NamedTuple):
    """What restricts a user. `disabled` and `expired` are reasons, empty when it is not so; times are seconds since
    1970 from which it will be so, 0: never. `protocols` and `networks` None: all of them.
    """

    disabled: str = ""
    expired: str = ""
    closes: float = _NEVER
    expires: float = _NEVER
    protocols: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    passthrough: bool = False

    def refusal(self, protocol: str, address: str, now: float) -> DirectoryError | None:
        """Why the user may not log in; None: nothing speaks against it. `now` is in seconds since 1970."""
        if self.disabled:
            return AccountDisabled(f"the entry is disabled: {self.disabled}")
        if self.closes and now >= self.closes:
            return AccountDisabled("the entry's time is over")
        if self.protocols is not None and protocol not in self.protocols:
            return AccountDisabled(f"the entry does not allow {protocol}")
        if self.networks is not None and not _within(address, self.networks):
            return AccountDisabled("the entry does not allow this network")
        if self.expired or (self.expires and now >= self.expires):
            return PasswordExpired(f"the entry says so: {self.expired or 'the time of the password is over'}")
        return None

    def write(self) -> str:
        """One line of text without NUL; empty when there is no restriction at all."""
        told = {name: value for name, value in self._asdict().items() if value != self._field_defaults[name]}
        return _encoded(told) if told else ""

    @classmethod
    def read(cls, text: str) -> Policy:
        """What `write` has written."""
        if not text:
            return UNRESTRICTED
        told = json.loads(text)
        for name in ("protocols", "networks"):
            if name in told:
                told[name] = tuple(told[name])
        return cls(**told)


UNRESTRICTED = Policy()


class PolicyReader:
    """Reads what restricts users out of their entries, as the settings say."""

    def __init__(self, settings: DirectorySettings) -> None:
        attributes = settings.attributes
        self._rules = [
            _Rule(rule.attribute.lower().encode(), rule, _prepared(rule.values or rule.not_values))
            for rule in settings.rule
        ]
        self._protocols_key = attributes.protocols.lower().encode()
        self._networks_key = attributes.networks.lower().encode()
        self._reason_key = attributes.disabled_reason.lower().encode()
        self._spellings = [(protocol, _prepared(getattr(settings.protocols, protocol))) for protocol in PROTOCOLS]
        names = (attributes.protocols, attributes.networks, attributes.disabled_reason)
        self.wanted = tuple(name for name in (*names, *(rule.attribute for rule in settings.rule)) if name)
        """The attributes to ask for."""

    def read(self, dn: str, values: Values) -> Policy:
        """What restricts the user of this entry. Raises Misconfigured for a value that cannot be understood."""
        if not self.wanted:
            return UNRESTRICTED
        policy = UNRESTRICTED
        for rule in self._rules:
            for value in values.get(rule.key, ()):
                policy = _judged(policy, rule, text_of(rule.key, dn, value), dn)
        if policy.disabled and self._reason_key:
            told = b"; ".join(values.get(self._reason_key, ())).decode("utf-8", "replace")
            policy = policy._replace(disabled=_one_line(told) or policy.disabled)
        protocols, networks = self._protocols(values), self._networks(dn, values)
        if protocols is None and networks is None:
            return policy
        return policy._replace(protocols=protocols, networks=networks)

    def _protocols(self, values: Values) -> tuple[str, ...] | None:
        if not self._protocols_key:
            return None
        given = {prepared(value.decode("utf-8", "replace")) for value in values.get(self._protocols_key, ())}
        return tuple(protocol for protocol, spellings in self._spellings if not given.isdisjoint(spellings))

    def _networks(self, dn: str, values: Values) -> tuple[str, ...] | None:
        found = values.get(self._networks_key, ()) if self._networks_key else ()
        if not found:
            return None
        words = " ".join(text_of(self._networks_key, dn, value) for value in found).translate(_SEPARATORS).split()
        if not words:
            raise Misconfigured(f"{self._networks_key.decode()} of {dn!r} names no network")
        return tuple(_network(word, dn) for word in words)


class _Rule(NamedTuple):
    """A rule with the lower-case name of its attribute and the values of its condition, prepared for comparison."""

    key: bytes
    settings: RuleSettings
    values: set[str]

    def is_met(self, value: str, dn: str) -> bool:
        if self.settings.bits:
            try:
                return bool(_whole_number(value) & self.settings.bits)
            except ValueError:
                raise Misconfigured(f"{self.settings.attribute} of {dn!r} is no number") from None
        return (prepared(value) in self.values) is bool(self.settings.values)


def _judged(policy: Policy, rule: _Rule, value: str, dn: str) -> Policy:
    """The policy with what one value means by one rule."""
    disables = rule.settings.means == "disabled"
    if rule.settings.until:
        end = _time(rule.settings.until, value, dn)
        if disables:
            return policy._replace(closes=_earlier(policy.closes, end))
        return policy._replace(expires=_earlier(policy.expires, end))
    if not rule.is_met(value, dn):
        return policy
    reason = _one_line(f"{rule.settings.attribute} is {value}")
    return policy._replace(disabled=reason) if disables else policy._replace(expired=reason)


def _earlier(one: float, other: float) -> float:
    return min((time for time in (one, other) if time != _NEVER), default=_NEVER)


def _prepared(values: Sequence[str]) -> set[str]:
    """Values as a directory compares them."""
    return {prepared(value) for value in values}


def _time(form: Literal["", "generalized", "days", "seconds", "filetime"], value: str, dn: str) -> float:
    """Seconds since 1970; 0 for a value that means never."""
    try:
        if form == "generalized":
            return max(_generalized(value), 1.0)
        number = _whole_number(value)
    except ValueError:
        raise Misconfigured(f"{value!r} of {dn!r} is no time of the form {form!r}") from None
    if form == "filetime":
        return _NEVER if number in _FILETIME_NEVER else max(number / 1e7 - _FILETIME_EPOCH, 1.0)
    if number < 0:
        return _NEVER
    return max(float(number * _DAY if form == "days" else number), 1.0)


def _whole_number(value: str) -> int:
    """A number of at most 64 bits, as directories write it. Raises ValueError."""
    if not _WHOLE_NUMBER.fullmatch(value):
        raise ValueError(value)
    return int(value)


def _generalized(value: str) -> float:
    """GeneralizedTime (RFC 4517 section 3.3.13) in seconds since 1970; fractions are dropped. Raises ValueError.

    The year 0 is long ago: OpenLDAP marks accounts that are locked for ever with it (000001010000Z).
    """
    match = _GENERALIZED.fullmatch(value)
    if match is None:
        raise ValueError(value)
    *parts, zone, zone_minutes = match.groups(default="00")
    year, month, day, hour, minute, second = map(int, parts)
    east = timedelta(hours=int(zone), minutes=int(zone[0].replace("0", "+") + zone_minutes))
    second = min(second, 59)  # 60 is a leap second
    return datetime(max(year, 1), month, day, hour, minute, second, tzinfo=timezone(east)).timestamp()


def _one_line(text: str) -> str:
    """A text from the directory as a line of the log may hold it."""
    return "".join(each if each.isprintable() else " " for each in text).strip("; ")[:_LONGEST_REASON]


def _network(word: str, dn: str) -> str:
    try:
        return str(ip_network(word, strict=False))
    except ValueError:
        raise Misconfigured(f"{word!r} of {dn!r} is no network") from None


def _within(address: str, networks: Sequence[str]) -> bool:
    """Whether an address is in one of the networks; what is no address is in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in ip_network(network) for network in networks)

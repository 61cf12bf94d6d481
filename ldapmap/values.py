"""Values of attributes as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ldapmap.errors import Misconfigured, NoRoute

Values = Mapping[bytes, Sequence[bytes]]
"""An entry's attributes: lower-case names and their values."""


def text_of(name: bytes, dn: str, value: bytes) -> str:
    """A value without surrounding blanks. Raises Misconfigured for what is not printable UTF-8."""
    try:
        text = value.decode().strip()
    except UnicodeDecodeError:
        raise Misconfigured(f"{name.decode()} of {dn!r} is not UTF-8") from None
    if not text.isprintable():
        raise Misconfigured(f"{name.decode()} of {dn!r} has a control character")
    return text


def single(name: bytes, dn: str, values: Values) -> str:
    """The one value of an attribute, empty when it has none. Raises NoRoute when it has several."""
    found = values.get(name, ())
    if len(found) > 1:
        raise NoRoute(f"{dn!r} has {len(found)} values of {name.decode()}, of which one is allowed")
    return text_of(name, dn, found[0]) if found else ""

"""Login names: what was typed becomes the one spelling that is searched for.

The rules, in the order they are applied (each is a step that `vestibule route` shows):

1. A name is not empty, not longer than `max_length` bytes, and neither begins nor ends with a blank.
2. Every character is printable in the sense of `str.isprintable`: no control and format characters (CR, LF, NUL, soft
   hyphen, bidirectional marks), no separators but the blank, nothing unassigned. They are refused, never removed.
3. The name is brought into Unicode's composed form (NFC), so that two ways of typing é are one name. Compatibility
   forms (NFKC, full-width letters) are not folded here: whether they are the same user is for the directory's matching
   rule to say, and the user's one name is then the entry's value.
4. A Windows domain before a backslash is taken off when it is one of `nt_domains`, and refused when it is not; without
   `nt_domains` a backslash is a character like any other.
5. At most one `@`, with something on both sides; one dot at the end of the domain is dropped.
6. Lower case: the domain always, the rest with `lower_case`.
7. The local part is cut at the first `detail_separator`; something must be left.
8. A domain must be one of `domains`, if there are any.
9. The domain is kept, stripped or added.

What is left by rules 4, 5 and 7 begins and ends with no blank either: servers pass over such blanks, so they would be
one more way to write the same name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from ldapmap.errors import InvalidName
from ldapmap.sections import NameRules, lower, lowered

_PLAIN = re.compile(r"[a-z0-9._-]+(?:@[a-z0-9._-]*[a-z0-9_-])?")
"""Nearly every name that is typed. Rules 1 to 6 leave it as it is, unless it is too long."""
_DOT_ABOVE = "\u0307"


def canonical(typed: str, rules: NameRules) -> str:
    """The name to search for. Raises InvalidName, whose reason names the broken rule but never repeats the name."""
    if _PLAIN.fullmatch(typed) and _leaves_alone(rules, typed):
        return typed
    for _, apply in _STEPS:
        typed = apply(typed, rules)
    return typed


def _leaves_alone(rules: NameRules, plain: str) -> bool:
    """Whether the rules make nothing else of a name in which no character is out of the ordinary."""
    separator = rules.detail_separator
    if len(plain) > rules.max_length or (separator and separator in plain):
        return False
    return not (rules.domains or rules.domain == "strip") if "@" in plain else rules.domain != "add"


def steps(typed: str, rules: NameRules) -> Iterator[tuple[str, str]]:
    """Each rule's label and the name after it. Raises InvalidName when the next rule refuses the name."""
    for label, apply in _STEPS:
        typed = apply(typed, rules)
        yield label, typed


def prepared(name: str) -> str:
    """A name as names are compared: equal whenever a server takes two names for the same (`caseIgnoreMatch`).

    RFC 4518 folds case in full (ß is ss), OpenLDAP letter by letter (İ is i): names equal by either are equal here. The
    characters that RFC 4518 maps to nothing are kept: they are not printable, so nobody's typed name has them.
    """
    if name.isascii():
        return " ".join(name.lower().split())
    folded = unicodedata.normalize("NFKD", name).casefold()
    if _DOT_ABOVE in folded:
        folded = _without_dots_on_i(folded)
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def _without_dots_on_i(decomposed: str) -> str:
    kept, letter = [], ""
    for each in decomposed:
        if not unicodedata.combining(each):
            letter = each
        elif each == _DOT_ABOVE and letter == "i":
            continue
        kept.append(each)
    return "".join(kept)


def _bounded(name: str, rules: NameRules) -> str:
    if not name:
        raise InvalidName("the name is empty")
    if len(name) > rules.max_length or len(name.encode("utf-8", "surrogatepass")) > rules.max_length:
        raise InvalidName(f"the name is longer than {rules.max_length} bytes")
    return _without_outer_blanks(name)


def _without_outer_blanks(name: str) -> str:
    if name.startswith(" ") or name.endswith(" "):
        raise InvalidName("the name, or a part of it, begins or ends with a blank")
    return name


def _printable(name: str, rules: NameRules) -> str:
    if not name.isprintable():
        raise InvalidName("the name has a control character or another that cannot be printed")
    return name


def _composed(name: str, rules: NameRules) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _without_nt_domain(name: str, rules: NameRules) -> str:
    domain, backslash, user = name.partition("\\")
    if not backslash or not rules.nt_domains:
        return name
    if lower(domain) not in lowered(rules.nt_domains) or not user:
        raise InvalidName("the name's Windows domain is not one of ours")
    return _without_outer_blanks(user)


def _whole(name: str, rules: NameRules) -> str:
    if "@" not in name:
        return name
    local, _, domain = name.partition("@")
    domain = domain.removesuffix(".")
    if not local or not domain or "@" in domain:
        raise InvalidName("the name is not of the form user@domain")
    return f"{_without_outer_blanks(local)}@{_without_outer_blanks(domain)}"


def _lowered(name: str, rules: NameRules) -> str:
    if rules.lower_case:
        return lower(name)
    local, at, domain = name.partition("@")
    return local + at + lower(domain)


def _without_detail(name: str, rules: NameRules) -> str:
    separator = rules.detail_separator
    if not separator or separator not in name:
        return name
    local, at, domain = name.partition("@")
    user = local.partition(separator)[0]
    if not user:
        raise InvalidName(f"nothing is left of the name before its {separator!r}")
    return _without_outer_blanks(user) + at + domain


def _accepted(name: str, rules: NameRules) -> str:
    _, at, domain = name.partition("@")
    if at and rules.domains and domain not in lowered(rules.domains):
        raise InvalidName("the name's domain is not one of ours")
    return name


def _in_its_domain(name: str, rules: NameRules) -> str:
    if rules.domain == "strip":
        return name.partition("@")[0]
    if rules.domain == "add" and "@" not in name:
        return f"{name}@{lowered((rules.default_domain,))[0]}"
    return name


_STEPS: tuple[tuple[str, Callable[[str, NameRules], str]], ...] = (
    ("length and blanks", _bounded),
    ("printable characters", _printable),
    ("composed form (NFC)", _composed),
    ("without Windows domain", _without_nt_domain),
    ("one @", _whole),
    ("lower case", _lowered),
    ("without detail", _without_detail),
    ("accepted domain", _accepted),
    ("domain", _in_its_domain),
)

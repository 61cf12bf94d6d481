"""What FETCH says of a message (RFC 3501 section 7.4.2); every message here is one text part."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.parser import BytesHeaderParser
from email.utils import getaddresses

from loadtest.mailbox import Message
from loadtest.words import BadSyntax, Word, parse, text

MACROS: Mapping[str, str] = {
    "FAST": "FLAGS INTERNALDATE RFC822.SIZE",
    "ALL": "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE",
    "FULL": "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY",
}

_SECTION = re.compile(r"BODY(?:\.PEEK)?\[(.*)\](?:<([0-9]{1,9})\.([0-9]{1,9})>)?", re.IGNORECASE)
_MARKS_SEEN = re.compile(r"BODY\[|RFC822(\.TEXT)?$", re.IGNORECASE)


def item_names(word: Word) -> list[str]:
    """The items of a FETCH command: its list, its macro or its only item."""
    if isinstance(word, list):
        return [text(item) for item in word]
    return MACROS.get(text(word).upper(), text(word)).split(" ") if b"[" not in word else [text(word)]


def marks_seen(item: str) -> bool:
    """Whether fetching an item sets the flag Seen."""
    return _MARKS_SEEN.match(item) is not None


def render(item: str, message: Message) -> bytes:
    """One item with its value; raises `BadSyntax` for one that does not exist."""
    simple = _SIMPLE.get(item.upper())
    if simple is not None:
        return item.upper().encode() + b" " + simple(message)
    match = _SECTION.fullmatch(item)
    if match is None:
        raise BadSyntax(b"")
    section, start, length = match.groups()
    data = _section(section, message)
    if start is None:
        return b"BODY[%b] %b" % (section.encode(), literal(data))
    return b"BODY[%b]<%d> %b" % (section.encode(), int(start), literal(data[int(start) :][: int(length)]))


def literal(data: bytes) -> bytes:
    """Data as a literal."""
    return b"{%d}\r\n%b" % (len(data), data)


def flags(message: Message) -> bytes:
    """A message's flags as a list."""
    return b"(" + " ".join(sorted(message.flags)).encode() + b")"


def _section(section: str, message: Message) -> bytes:
    name, *fields = parse(section.encode()) if section else [b""]
    kind = text(name).upper()
    if kind in ("HEADER.FIELDS", "HEADER.FIELDS.NOT"):
        wanted = {text(field).lower() for field in (fields[0] if fields and isinstance(fields[0], list) else [])}
        return _fields(message.header, wanted, kind == "HEADER.FIELDS")
    part = _PARTS.get(kind)
    if part is None or fields:
        raise BadSyntax(b"")
    return part(message)


_PARTS: Mapping[str, Callable[[Message], bytes]] = {
    "": lambda message: message.data,
    "HEADER": lambda message: message.header,
    "TEXT": lambda message: message.text,
    "1": lambda message: message.text,
    "1.MIME": lambda message: _fields(message.header, {"content-type", "content-transfer-encoding"}, True),
}


def _fields(header: bytes, names: set[str], wanted: bool) -> bytes:
    """The header fields that have, or have not, one of these names, and the empty line."""
    fields = re.findall(rb"(?:[^\r\n:]+):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", header)
    kept = [field for field in fields if (field.partition(b":")[0].decode().lower() in names) == wanted]
    return b"".join(kept) + b"\r\n"


def _envelope(message: Message) -> bytes:
    header = BytesHeaderParser().parsebytes(message.header)

    def field(name: str) -> bytes:
        return nstring(str(header.get(name, "")).encode())

    def people(name: str) -> bytes:
        return _addresses(str(header.get(name, "")))

    sender, reply_to = people("Sender"), people("Reply-To")
    missing = b"NIL"
    parts = [
        field("Date"),
        field("Subject"),
        people("From"),
        sender if sender != missing else people("From"),
        reply_to if reply_to != missing else people("From"),
        people("To"),
        people("Cc"),
        people("Bcc"),
        field("In-Reply-To"),
        field("Message-ID"),
    ]
    return b"(" + b" ".join(parts) + b")"


def _addresses(value: str) -> bytes:
    pairs = [(name, address.rpartition("@")) for name, address in getaddresses([value]) if address] if value else []
    people = [
        b"(" + b" ".join([nstring(name.encode()), b"NIL", nstring(local.encode()), nstring(domain.encode())]) + b")"
        for name, (local, _, domain) in pairs
    ]
    return b"(" + b"".join(people) + b")" if people else b"NIL"


def nstring(value: bytes) -> bytes:
    """NIL when empty, else a quoted string, or a literal if the value cannot be quoted."""
    if not value:
        return b"NIL"
    if re.search(rb"[\r\n\x00]", value):
        return literal(value)
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _body(message: Message) -> bytes:
    body = message.text
    return b'("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "8BIT" %d %d' % (len(body), body.count(b"\n"))


_SIMPLE: Mapping[str, Callable[[Message], bytes]] = {
    "UID": lambda message: b"%d" % message.uid,
    "FLAGS": flags,
    "INTERNALDATE": lambda message: b'"' + message.received.strftime("%d-%b-%Y %H:%M:%S +0000").encode() + b'"',
    "RFC822.SIZE": lambda message: b"%d" % message.size,
    "RFC822": lambda message: literal(message.data),
    "RFC822.HEADER": lambda message: literal(message.header),
    "RFC822.TEXT": lambda message: literal(message.text),
    "ENVELOPE": _envelope,
    "BODY": lambda message: _body(message) + b")",
    "BODYSTRUCTURE": lambda message: _body(message) + b" NIL NIL NIL NIL)",
}

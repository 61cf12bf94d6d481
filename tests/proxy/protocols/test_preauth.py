"""What the three protocols have in common before a client has logged in."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols.failures import Failure, Kind
from proxy.protocols.limits import Limits
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.preauth import CLOSING, Offer, Preauth
from proxy.protocols.sasl import MECHANISMS
from tests.transcripts.player import PREAUTHS

from .strategies import REFUSED, SOME, chunks, hold, vocabulary

#: Beyond what anybody configures: everything is on offer, and patience does not end the conversation early.
OFFER = Offer(Limits(bad_commands=50), mechanisms=tuple(MECHANISMS), starttls=True, plaintext=True)
STRICT = Offer(Limits(line=512, literal=100, sasl=512, bad_commands=3), starttls=True)

orders = st.lists(st.one_of(st.none(), st.sampled_from(REFUSED)), max_size=4)
#: The first word of a line that answers a client of IMAP: `*`, `+` or a tag of harmless characters.
IMAP_LINE = re.compile(rb"(\*|\+|[!#$,\-./0-9;=?@A-Z\[\]^_`a-z|}~]{1,126}) [\x20-\x7e]*")
CANARY = b"Zq7xK9"


def preauth(protocol: str, wire: MemoryWire, offer: Offer = OFFER) -> Preauth:
    return PREAUTHS[protocol](wire, offer)


def said(wire: MemoryWire) -> bytes:
    return b"".join(wire.sent)


@pytest.mark.parametrize("offer", [OFFER, STRICT], ids=["generous", "strict"])
@pytest.mark.parametrize("protocol", PREAUTHS)
@SOME
@given(st.data(), orders)
def test_a_conversation_ends_only_in_documented_ways_whatever_is_said(
    offer: Offer, protocol: str, data: st.DataObject, orders: list[Kind | None]
) -> None:
    sent = data.draw(chunks(f"{protocol}-client", "CL"))
    wire = MemoryWire(sent, certificate_user="alice")
    run(hold(preauth(protocol, wire, offer), orders))
    heard = b"".join(chunk or b"" for chunk in sent)
    assert len(said(wire)) <= 500 * (2 + heard.count(b"\n")) + len(heard)


@pytest.mark.parametrize("protocol", PREAUTHS)
@SOME
@given(st.data(), orders, st.sampled_from([1, 3]))
def test_it_does_not_matter_in_which_pieces_a_client_speaks(
    protocol: str, data: st.DataObject, orders: list[Kind | None], size: int
) -> None:
    text = b"".join(chunk or b"" for chunk in data.draw(chunks(f"{protocol}-client", "CL")))
    whole, cut = MemoryWire([text], secure=True), MemoryWire([], secure=True)
    cut._chunks = [text[at : at + size] for at in range(0, len(text), size)]
    assert run(hold(preauth(protocol, whole), list(orders))) == run(hold(preauth(protocol, cut), list(orders)))
    assert said(whole) == said(cut)
    assert whole.rest() == cut.rest()


@pytest.mark.parametrize("protocol", PREAUTHS)
@SOME
@given(st.data(), orders)
def test_nothing_that_a_client_says_is_reflected(protocol: str, data: st.DataObject, orders: list[Kind | None]) -> None:
    """But for the tag of IMAP and the mark of ManageSieve's NOOP, which RFC 5804 section 2.13 wants back."""
    lines = [line for line in vocabulary(f"{protocol}-client", "CL") if not line.upper().startswith(b"NOOP ")]
    sent = []
    for line in data.draw(st.lists(st.sampled_from(lines), max_size=8)):
        at = data.draw(st.integers(line.find(b" ") + 1 if protocol == "imap" else 0, max(len(line) - 2, 0)))
        sent.append(line[:at] + CANARY + line[at:])
    wire = MemoryWire(sent, secure=True)
    run(hold(preauth(protocol, wire), orders))
    answers = said(wire)
    if protocol == "imap":
        assert all(IMAP_LINE.fullmatch(line) for line in answers.split(b"\r\n")[:-1])
        answers = b"\n".join(line.partition(b" ")[2] for line in answers.split(b"\r\n"))
    assert CANARY not in answers
    assert CANARY.lower() not in answers.lower()


@pytest.mark.parametrize(("protocol", "form"), [("imap", IMAP_LINE), ("pop3", re.compile(rb"[\x20-\x7e]*"))])
@SOME
@given(st.data(), orders)
def test_every_answer_is_one_printable_line_in_the_form_of_its_protocol(
    protocol: str, form: re.Pattern[bytes], data: st.DataObject, orders: list[Kind | None]
) -> None:
    wire = MemoryWire(data.draw(chunks(f"{protocol}-client", "CL")), secure=True)
    run(hold(preauth(protocol, wire), orders))
    *lines, end = said(wire).split(b"\r\n")
    assert end == b""
    assert all(form.fullmatch(line) for line in lines)


@pytest.mark.parametrize("protocol", PREAUTHS)
def test_a_refusal_is_remembered_for_the_log(protocol: str) -> None:
    dialogue = preauth(protocol, MemoryWire([]))
    assert dialogue.refused is None
    run(dialogue.refuse(Failure(Kind.LIMIT)))
    assert dialogue.refused is Kind.LIMIT
    run(dialogue.bye(Kind.SHUTDOWN))
    assert dialogue.refused is Kind.SHUTDOWN


@pytest.mark.parametrize(
    ("protocol", "line", "kind"),
    [
        ("imap", b"a FOO\r\n", Kind.BAD_COMMANDS),
        ("pop3", b"FOO\r\n", Kind.BAD_COMMANDS),
        ("managesieve", b"FOO\r\n", Kind.BAD_COMMANDS),
        ("imap", b"x" * 30_000, Kind.BAD_INPUT),
        ("pop3", b"x" * 30_000, Kind.BAD_INPUT),
        ("managesieve", b"x" * 30_000, Kind.BAD_INPUT),
        ("imap", b"a AUTHENTICATE NTLM\r\n", Kind.UNSUPPORTED_MECHANISM),
        ("pop3", b"AUTH NTLM\r\n", Kind.UNSUPPORTED_MECHANISM),
        ("managesieve", b'AUTHENTICATE "NTLM"\r\n', Kind.UNSUPPORTED_MECHANISM),
    ],
)
def test_what_the_dialogue_finds_itself_is_remembered_for_the_log(protocol: str, line: bytes, kind: Kind) -> None:
    dialogue = preauth(protocol, MemoryWire([line] * 3, secure=True), Offer(Limits()))
    run(hold(dialogue, []))
    assert dialogue.refused is kind


@pytest.mark.parametrize("protocol", PREAUTHS)
def test_passwords_are_offered_only_where_they_are_protected(protocol: str) -> None:
    clear = PREAUTHS[protocol](MemoryWire([]), Offer(Limits(), mechanisms=tuple(MECHANISMS)))
    assert clear.offered() == ()
    assert not clear.passwords_allowed()
    secure = PREAUTHS[protocol](MemoryWire([], secure=True), Offer(Limits(), mechanisms=tuple(MECHANISMS)))
    assert secure.offered() == ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER")
    certified = PREAUTHS[protocol](MemoryWire([], certificate_user="alice"), Offer(Limits(), mechanisms=("EXTERNAL",)))
    assert certified.offered() == ("EXTERNAL",)


def test_what_ends_a_conversation_is_nothing_a_client_could_do_better_at_once() -> None:
    assert not CLOSING & {Kind.BAD_CREDENTIALS, Kind.LIMIT, Kind.DIRECTORY_UNAVAILABLE, Kind.PRIVACY_REQUIRED}

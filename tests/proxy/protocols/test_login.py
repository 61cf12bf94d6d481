"""What the three protocols have in common when we log in at a backend."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols import sasl
from proxy.protocols.credentials import Credentials, judge
from proxy.protocols.failures import RETRYABLE, Failure, Kind
from proxy.protocols.limits import Limits
from proxy.protocols.login import Order, code_name, code_within, refused
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.origin import Hop, Origin
from proxy.protocols.preauth import Offer, Preauth, Welcome
from proxy.protocols.secret import Secret
from proxy.protocols.wire import WireFailure
from tests.transcripts.player import LOGINS, ORIGIN, PREAUTHS

from .pipes import PipeEnd, converse
from .strategies import MANY, REFUSED, SOME, chunks, kind_of, names, passwords, tokens

#: What a backend may have done wrong, and what it may tell of the user.
OF_BACKENDS = {kind for kind in Kind if kind.name.startswith("BACKEND_")}
OF_USERS = {Kind.LIMIT, Kind.EXPIRED, Kind.DISABLED, Kind.NOT_AUTHORIZED}
HIDDEN = [*itertools.product([(), (b" LITERAL+",)], [(), (b" SASL-IR",)])]


class WatchedWire(MemoryWire):
    """Keeps apart what was sent without TLS."""

    in_clear = b""

    async def send(self, data: bytes) -> None:
        await super().send(data)
        if not self.secure:
            self.in_clear += data


async def log_in(protocol: str, wire: MemoryWire | PipeEnd, order: Order, *, starttls: bool) -> Welcome:
    login = LOGINS[protocol](wire, order, Limits())
    await login.greeting()
    if starttls:
        await login.secure()
    return await login.authenticate()


ORDERS = st.builds(
    Order,
    st.just("alice"),
    st.just(Secret(b"correct horse")),
    st.sampled_from(["PLAIN", "XOAUTH2", "OAUTHBEARER"]),
    st.sampled_from(["", "vestibule"]),
    st.sampled_from([None, ORIGIN]),
)


@pytest.mark.parametrize("protocol", LOGINS)
@SOME
@given(st.data(), ORDERS, st.booleans())
def test_a_login_ends_only_in_documented_ways_whatever_the_backend_says(
    protocol: str, data: st.DataObject, order: Order, starttls: bool
) -> None:
    """And with STARTTLS nothing of the credentials or of the client is ever sent in clear."""
    said = data.draw(chunks(f"{protocol}-backend", "BL"))
    wire = WatchedWire(said)

    def attempt() -> None:
        try:
            welcome = run(log_in(protocol, wire, order, starttls=starttls))
        except WireFailure:
            return
        assert len(welcome.untagged) <= sum(len(chunk or b"") for chunk in said)

    assert kind_of(attempt) in OF_BACKENDS | OF_USERS | {None}
    assert len(b"".join(wire.sent)) <= 1000 + 50 * len(said)
    if starttls:
        exposed = wire.in_clear
        assert not any(word in exposed for word in (b"alice", b"correct", sasl.encode(order.message()), b"192.0.2.1"))


async def serve(preauth: Preauth, wire: PipeEnd) -> tuple[Credentials, Hop | None]:
    await preauth.greet()
    attempt = await preauth.attempt()
    assert attempt is not None
    await wire.send(preauth.accept(Welcome(known="IMAP4rev1")))
    return judge(attempt), preauth.hop


def through(
    protocol: str, order: Order, *, starttls: bool = False, hide: tuple[bytes, ...] = (), mechanisms: tuple[str, ...]
) -> tuple[Credentials, Hop | None]:
    """What our own server understands of the order."""
    offer = Offer(Limits(), mechanisms=mechanisms, starttls=starttls)
    server = PipeEnd(secure=not starttls, hide=hide)
    preauth = PREAUTHS[protocol](server, offer, trusted=True)
    _, result = converse(
        lambda wire: log_in(protocol, wire, order, starttls=starttls),
        PipeEnd(secure=not starttls),
        lambda wire: serve(preauth, wire),
        server,
    )
    return result


@pytest.mark.parametrize("starttls", [False, True], ids=["TLS", "STARTTLS"])
@pytest.mark.parametrize("protocol", LOGINS)
@SOME
@given(names, passwords, st.sampled_from(HIDDEN))
def test_our_own_server_understands_the_name_and_password_we_send(
    protocol: str, starttls: bool, user: str, password: bytes, hidden: tuple[tuple[bytes, ...], ...]
) -> None:
    hide = tuple(itertools.chain(*hidden))
    order = Order(user, Secret(password))
    credentials, hop = through(protocol, order, starttls=starttls, hide=hide, mechanisms=("PLAIN", "LOGIN"))
    assert (credentials.user, credentials.secret.reveal(), credentials.authzid) == (user, password, "")
    assert hop is None


@SOME
@given(names, passwords, st.sampled_from(HIDDEN))
def test_our_own_server_understands_the_login_command_we_send(
    user: str, password: bytes, hidden: tuple[tuple[bytes, ...], ...]
) -> None:
    order = Order(user, Secret(password))
    credentials, _ = through("imap", order, hide=tuple(itertools.chain(*hidden)), mechanisms=())
    assert (credentials.mechanism, credentials.user, credentials.secret.reveal()) == ("LOGIN", user, password)


@pytest.mark.parametrize("protocol", LOGINS)
@SOME
@given(names, names, passwords)
def test_our_own_server_understands_for_whom_a_master_logs_in(
    protocol: str, user: str, master: str, password: bytes
) -> None:
    order = Order(user, Secret(password), master=master)
    credentials, _ = through(protocol, order, mechanisms=("PLAIN",))
    assert (credentials.user, credentials.secret.reveal()) == (master, password)
    assert credentials.authzid == ("" if user == master else user)


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("protocol", LOGINS)
@SOME
@given(names, tokens, st.booleans())
def test_our_own_server_understands_the_token_we_send(
    protocol: str, mechanism: str, user: str, token: bytes, initial: bool
) -> None:
    order = Order(user, Secret(token), mechanism)
    hide = () if initial else (b" SASL-IR",)
    credentials, _ = through(protocol, order, hide=hide, mechanisms=(mechanism,))
    assert (credentials.mechanism, credentials.user, credentials.secret.reveal()) == (mechanism, user, token)


@pytest.mark.parametrize("starttls", [False, True], ids=["TLS", "STARTTLS"])
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
@pytest.mark.parametrize("protocol", LOGINS)
def test_our_own_server_understands_where_the_client_is(protocol: str, address: str, starttls: bool) -> None:
    origin = Origin(address, 40000, "203.0.113.7", 993, "abc", 6, tls=True)
    order = Order("alice", Secret(b"secret"), origin=origin)
    _, hop = through(protocol, order, starttls=starttls, mechanisms=("PLAIN",))
    assert hop == Hop(address, 40000, "abc", 6)


async def refuse(preauth: Preauth, kind: Kind) -> None:
    await preauth.greet()
    attempt = await preauth.attempt()
    assert attempt is not None
    await preauth.refuse(Failure(kind), attempt.mechanism)


def heard(protocol: str, kind: Kind, mechanism: str = "PLAIN") -> Kind | None:
    """As what a Vestibule in front of another one takes the failure which the other tells it."""
    server = PipeEnd(secure=True)
    preauth = PREAUTHS[protocol](server, Offer(Limits(), mechanisms=(mechanism,)))
    order = Order("alice", Secret(b"secret"), mechanism)
    return kind_of(
        lambda: converse(
            lambda wire: log_in(protocol, wire, order, starttls=False),
            PipeEnd(secure=True),
            lambda wire: refuse(preauth, kind),
            server,
        )
    )


@pytest.mark.parametrize(
    "kind", [*sorted(RETRYABLE, key=str), Kind.DIRECTORY_UNAVAILABLE, Kind.DIRECTORY_MISCONFIGURED, Kind.NO_BACKEND]
)
@pytest.mark.parametrize("protocol", LOGINS)
def test_an_outage_behind_another_vestibule_is_temporary(protocol: str, kind: Kind) -> None:
    assert heard(protocol, kind) is Kind.BACKEND_TEMPORARY


@pytest.mark.parametrize("mechanism", ["PLAIN", "XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("protocol", LOGINS)
def test_a_wrong_password_or_token_behind_another_vestibule_is_a_refused_user(protocol: str, mechanism: str) -> None:
    assert heard(protocol, Kind.BAD_CREDENTIALS, mechanism) is Kind.BACKEND_REFUSED


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("protocol", LOGINS)
def test_every_failure_behind_another_vestibule_is_understood_as_something(protocol: str, kind: Kind) -> None:
    assert heard(protocol, kind) in OF_BACKENDS | OF_USERS


@pytest.mark.parametrize(
    ("order", "needs_sasl", "message"),
    [
        (Order("alice", Secret(b"x")), False, b"\0alice\0x"),
        (Order("alice", Secret(b"x"), master="root"), True, b"alice\0root\0x"),
        (Order("alice", Secret(b"t"), "XOAUTH2"), True, b"user=alice\1auth=Bearer t\1\1"),
        (Order("alice", Secret(b"t"), "OAUTHBEARER"), True, b"n,a=alice,\1auth=Bearer t\1\1"),
    ],
)
def test_an_order_knows_its_message(order: Order, needs_sasl: bool, message: bytes) -> None:
    assert (order.needs_sasl, order.message()) == (needs_sasl, message)
    assert "x" not in repr(order.secret)


@pytest.mark.parametrize(
    ("text", "code", "name"),
    [
        ("[UNAVAILABLE] Later.", "UNAVAILABLE", "UNAVAILABLE"),
        ("[REFERRAL imap://x/] Later.", "REFERRAL imap://x/", "REFERRAL"),
        ("Later [UNAVAILABLE]", "", ""),
        ("[UNAVAILABLE", "", ""),
        ("", "", ""),
        ("[] x", "", ""),
        ("[<b>] x", "<b>", ""),
        ("[" + "X" * 41 + "] x", "X" * 41, ""),
    ],
)
def test_response_codes_are_read_at_the_start_of_a_text(text: str, code: str, name: str) -> None:
    assert (code_within(text, "[", "]"), code_name(code)) == (code, name)


@MANY
@given(st.text(max_size=40))
def test_only_a_code_from_the_list_is_passed_on(code: str) -> None:
    failure = refused("NO", code_name(code), {"INUSE": Kind.BACKEND_CODE, "LIMIT": Kind.LIMIT})
    assert failure.code in ("", "INUSE")
    assert failure.detail.isascii()


def test_the_lines_of_a_backend_are_counted_over_the_whole_conversation() -> None:
    wire = MemoryWire([b"* OK [CAPABILITY IMAP4rev1]\r\n", *[b"* OK x\r\n"] * 200], secure=True)
    login = LOGINS["imap"](wire, Order("alice", Secret(b"x")), Limits())
    run(login.greeting())
    with pytest.raises(Failure, match="too much"):
        run(login.authenticate())
    assert wire.consumed == 100

"""Who a client is: what the directory's answers mean, and who may act for whom."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

import ldapmap
from ldapmap import Policy
from proxy.protocols.credentials import Credentials
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.secret import Secret
from proxy.recognition import Identity, Recognised, Recognition, identify, within
from proxy.settings import AuthSettings, ProtocolName
from tests.proxy.front import PASSWORD, People

INSIDE = ip_network("192.0.2.0/24")
MASTERS: dict[str, Any] = {"masters": ("postmaster",), "masters_from": (INSIDE,)}


def credentials(user: str, password: str = PASSWORD, *, authzid: str = "", mechanism: str = "PLAIN") -> Credentials:
    return Credentials(mechanism, user, Secret(password.encode()), authzid)


def people() -> People:
    return People(alice="s1", bob="s2", postmaster="s1")


async def recognise(
    who: Credentials,
    directory: People | None = None,
    *,
    address: str = "192.0.2.1",
    certificate: str = "",
    protocol: ProtocolName = "imap",
    **auth: Any,
) -> Recognised:
    recognition = Recognition(directory or people(), AuthSettings(**auth), lambda: 1000.0)
    return await recognition.recognise(who, certificate, address, protocol)


async def refused(who: Credentials, directory: People | None = None, **how: Any) -> Failure:
    with pytest.raises(Failure) as failure:
        await recognise(who, directory, **how)
    return failure.value


async def test_a_user_with_the_right_password_is_recognised() -> None:
    recognised = await recognise(credentials("alice"))
    assert recognised.user is recognised.by
    assert (recognised.user.user, recognised.verified) == ("alice", True)


ANSWERS = [
    (ldapmap.UnknownUser, Kind.BAD_CREDENTIALS),
    (ldapmap.WrongPassword, Kind.BAD_CREDENTIALS),
    (ldapmap.EmptyPassword, Kind.BAD_CREDENTIALS),
    (ldapmap.InvalidName, Kind.BAD_CREDENTIALS),
    (ldapmap.AccountLocked, Kind.BAD_CREDENTIALS),
    (ldapmap.AmbiguousUser, Kind.BAD_CREDENTIALS),
    (ldapmap.AccountDisabled, Kind.BAD_CREDENTIALS),
    (ldapmap.PasswordExpired, Kind.EXPIRED),
    (ldapmap.Unavailable, Kind.DIRECTORY_UNAVAILABLE),
    (ldapmap.ServerFault, Kind.DIRECTORY_UNAVAILABLE),
    (ldapmap.Misconfigured, Kind.DIRECTORY_MISCONFIGURED),
    (ldapmap.NoRoute, Kind.DIRECTORY_MISCONFIGURED),
    (ldapmap.DirectoryError, Kind.BAD_CREDENTIALS),
]


@pytest.mark.parametrize(("answer", "kind"), ANSWERS, ids=[answer.__name__ for answer, _ in ANSWERS])
@pytest.mark.parametrize("question", ["find", "verify"])
async def test_every_answer_of_a_directory_has_its_kind(
    question: str, answer: type[ldapmap.DirectoryError], kind: Kind
) -> None:
    directory = people()
    directory.trouble[question] = answer("the reason")
    failure = await refused(credentials("alice"), directory)
    assert (failure.kind, failure.detail) == (kind, "the reason")


def test_no_answer_of_a_directory_is_forgotten() -> None:
    errors = {
        value
        for value in vars(ldapmap).values()
        if isinstance(value, type) and issubclass(value, ldapmap.DirectoryError)
    }
    assert errors == {answer for answer, _ in ANSWERS}


async def test_a_disabled_account_is_told_so_only_where_the_operator_wants_it() -> None:
    directory = people()
    directory.trouble["verify"] = ldapmap.AccountDisabled("disabled")
    assert (await refused(credentials("alice"), directory, reveal_disabled=True)).kind is Kind.DISABLED


async def test_a_master_acts_for_a_user_with_its_own_password() -> None:
    directory = people()
    recognised = await recognise(credentials("postmaster", authzid="alice"), directory, **MASTERS)
    assert (recognised.user.user, recognised.by.user, recognised.verified) == ("alice", "postmaster", True)
    assert directory.asked == [("find", "postmaster"), ("verify", "postmaster", PASSWORD.encode()), ("find", "alice")]


async def test_a_master_acts_from_its_networks_only() -> None:
    failure = await refused(credentials("postmaster", authzid="alice"), address="198.51.100.1", **MASTERS)
    assert failure.kind is Kind.NOT_AUTHORIZED
    assert "network" in failure.detail


async def test_nobody_else_acts_for_anybody_and_nobody_learns_who_exists() -> None:
    for wanted in ("bob", "postmaster", "nobody"):
        failure = await refused(credentials("alice", authzid=wanted), **MASTERS)
        assert (failure.kind, failure.detail) == (Kind.NOT_AUTHORIZED, "alice is no master")


async def test_a_master_who_names_nobody_that_exists_is_not_authorised() -> None:
    failure = await refused(credentials("postmaster", authzid="nobody"), **MASTERS)
    assert (failure.kind, failure.detail) == (Kind.NOT_AUTHORIZED, "no such user to act for")


async def test_a_wrong_password_is_heard_of_before_any_right() -> None:
    directory = people()
    for user in ("postmaster", "alice"):
        failure = await refused(credentials(user, "wrong", authzid="bob"), directory, **MASTERS)
        assert failure.kind is Kind.BAD_CREDENTIALS
    assert ("find", "bob") not in directory.asked


async def test_everybody_may_act_for_themselves_in_any_spelling() -> None:
    recognised = await recognise(credentials("alice", authzid="ALICE"))
    assert recognised.user.user == recognised.by.user == "alice"


async def test_a_directory_that_is_away_when_the_other_is_looked_up_is_away() -> None:
    class Forgetful(People):
        async def find(self, login_name: str, *, fresh: bool = False) -> ldapmap.Entry:
            if login_name == "alice":
                raise ldapmap.Unavailable("timed out")
            return await super().find(login_name)

    failure = await refused(credentials("postmaster", authzid="alice"), Forgetful(postmaster="s1"), **MASTERS)
    assert failure.kind is Kind.DIRECTORY_UNAVAILABLE


async def test_a_token_is_not_verified_here() -> None:
    directory = people()
    recognised = await recognise(credentials("alice", "token", mechanism="XOAUTH2"), directory)
    assert not recognised.verified
    assert directory.asked == [("find", "alice")]


async def test_a_certificate_needs_no_password_and_names_its_user_alone() -> None:
    directory = people()
    external = credentials("", "", mechanism="EXTERNAL")
    recognised = await recognise(external, directory, certificate="alice")
    assert (recognised.user.user, recognised.verified) == ("alice", True)
    assert directory.asked == [("find", "alice")]
    other = credentials("", "", mechanism="EXTERNAL", authzid="bob")
    assert (await refused(other, certificate="alice")).kind is Kind.NOT_AUTHORIZED
    assert (await recognise(other, certificate="postmaster", **MASTERS)).user.user == "bob"


@pytest.mark.parametrize(
    ("typed", "separator", "identity"),
    [
        ("alice*postmaster", "*", Identity("postmaster", "alice")),
        ("a*b*postmaster", "*", Identity("postmaster", "a*b")),
        ("alice*", "*", Identity("alice*")),
        ("*postmaster", "*", Identity("*postmaster")),
        ("alice", "*", Identity("alice")),
        ("alice*postmaster", "", Identity("alice*postmaster")),
        ("alice*postmaster", "%", Identity("alice*postmaster")),
    ],
)
def test_a_separator_means_something_only_where_it_is_configured(
    typed: str, separator: str, identity: Identity
) -> None:
    auth = AuthSettings(master_separator=separator, **MASTERS)
    assert identify(credentials(typed), "", auth) == identity


def test_with_an_authorisation_identity_a_separator_means_nothing() -> None:
    auth = AuthSettings(master_separator="*", **MASTERS)
    assert identify(credentials("a*b", authzid="c"), "", auth) == Identity("a*b", "c")


def test_an_address_is_within_networks_of_its_own_kind() -> None:
    networks = (INSIDE, ip_network("2001:db8::/32"))
    assert within("192.0.2.255", networks)
    assert within("2001:db8::1", networks)
    assert not within("198.51.100.1", networks)
    assert not within("::1", networks)
    assert not within("192.0.2.1", ())


def restricted(**policy: Any) -> People:
    """Alice, with restrictions in her entry."""
    directory = people()
    alice = directory.entries["alice"]
    directory.entries["alice"] = alice._replace(policy=Policy(**policy).write())
    return directory


RESTRICTIONS: list[tuple[dict[str, Any], Kind]] = [
    ({"disabled": "unpaid"}, Kind.BAD_CREDENTIALS),
    ({"closes": 999.0}, Kind.BAD_CREDENTIALS),
    ({"protocols": ("pop3",)}, Kind.BAD_CREDENTIALS),
    ({"networks": ("198.51.100.0/24",)}, Kind.BAD_CREDENTIALS),
    ({"expired": "shadowLastChange is 0"}, Kind.EXPIRED),
    ({"expires": 1000.0}, Kind.EXPIRED),
]


@pytest.mark.parametrize(("policy", "kind"), RESTRICTIONS)
async def test_what_the_entry_forbids_is_refused_once_the_password_is_verified(
    policy: dict[str, Any], kind: Kind
) -> None:
    directory = restricted(**policy)
    assert (await refused(credentials("alice"), directory)).kind is kind
    assert directory.asked[-1] == ("verify", "alice", PASSWORD.encode())


@pytest.mark.parametrize(("policy", "_kind"), RESTRICTIONS)
async def test_whoever_has_not_the_password_learns_nothing_of_restrictions(policy: dict[str, Any], _kind: Kind) -> None:
    directory = restricted(**policy, passthrough=True)
    assert (await refused(credentials("alice", "wrong"), directory)).kind is Kind.BAD_CREDENTIALS


@pytest.mark.parametrize(
    "policy",
    [{"closes": 1001.0}, {"protocols": ("imap",)}, {"networks": ("192.0.2.0/24",)}, {"expires": 1001.0}],
)
async def test_what_the_entry_allows_is_allowed(policy: dict[str, Any]) -> None:
    assert (await recognise(credentials("alice"), restricted(**policy))).verified


async def test_a_disabled_account_is_told_so_where_the_operator_wants_it_and_the_log_has_the_reason() -> None:
    failure = await refused(credentials("alice"), restricted(disabled="unpaid"), reveal_disabled=True)
    assert failure.kind is Kind.DISABLED
    assert "unpaid" in failure.detail


async def test_a_password_that_is_passed_through_is_not_verified_here() -> None:
    directory = restricted(passthrough=True)
    recognised = await recognise(credentials("alice", "whatever"), directory)
    assert not recognised.verified
    assert directory.asked == [("find", "alice")]


async def test_a_certificate_counts_for_a_user_whose_passwords_are_passed_through() -> None:
    external = credentials("", "", mechanism="EXTERNAL")
    assert (await recognise(external, restricted(passthrough=True), certificate="alice")).verified


async def test_it_is_remembered_by_which_name_the_user_was_called() -> None:
    assert (await recognise(credentials("ALICE"))).name == "ALICE"
    assert (await recognise(credentials("postmaster", authzid="Alice"), **MASTERS)).name == "Alice"


async def test_a_failure_tells_the_log_whose_login_it_was_once_the_directory_knows() -> None:
    assert (await refused(credentials("ALICE", "wrong"))).user == "alice"
    assert (await refused(credentials("alice"), restricted(disabled="unpaid"))).user == "alice"
    assert (await refused(credentials("my password, typed into the wrong field"))).user == ""

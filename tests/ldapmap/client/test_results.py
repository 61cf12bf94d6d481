"""What results mean: never success by accident, never a wrong password by accident."""

import pytest

from ldapmap.client.messages import BIND_RESPONSE, SEARCH_DONE, Result
from ldapmap.client.results import bind_verdict, described, search_verdict
from ldapmap.errors import (
    AccountDisabled,
    AccountLocked,
    AmbiguousUser,
    DirectoryError,
    Misconfigured,
    PasswordExpired,
    ServerFault,
    Unavailable,
    UnknownUser,
    WrongPassword,
)


def bind(code: int, diagnostic: str = "", policy: int | None = None) -> type[DirectoryError] | None:
    verdict = bind_verdict(Result(1, BIND_RESPONSE, code, diagnostic, policy))
    return None if verdict is None else type(verdict)


def search(code: int) -> type[DirectoryError] | None:
    verdict = search_verdict(Result(1, SEARCH_DONE, code, "", None))
    return None if verdict is None else type(verdict)


def test_success_is_success() -> None:
    assert bind(0) is None
    assert search(0) is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (49, WrongPassword),
        (32, UnknownUser),
        (34, UnknownUser),
        *[(code, Unavailable) for code in (1, 3, 10, 11, 80)],
        *[(code, ServerFault) for code in (51, 52)],
        *[(code, Misconfigured) for code in (8, 13, 53)],
        *[(code, Unavailable) for code in (2, 4, 7, 14, 48, 50, 118, 4096, -1)],
    ],
)
def test_a_binds_result_code_has_its_meaning(code: int, kind: type[DirectoryError]) -> None:
    assert bind(code) is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (4, AmbiguousUser),
        *[(code, Misconfigured) for code in (8, 13, 32, 34, 50, 53)],
        *[(code, Unavailable) for code in (1, 3, 10, 11, 49, 80, 4096)],
        *[(code, ServerFault) for code in (51, 52)],
    ],
)
def test_a_searchs_result_code_has_its_meaning(code: int, kind: type[DirectoryError]) -> None:
    assert search(code) is kind


AD = "80090308: LdapErr: DSID-0C090400, comment: AcceptSecurityContext error, data {}, v1db1"


@pytest.mark.parametrize(
    ("sub_code", "kind"),
    [
        ("52e", WrongPassword),
        ("525", WrongPassword),
        ("52E", WrongPassword),
        ("775", AccountLocked),
        ("532", PasswordExpired),
        ("773", PasswordExpired),
        ("533", AccountDisabled),
        ("701", AccountDisabled),
        ("530", AccountDisabled),
        ("531", AccountDisabled),
        ("fff", WrongPassword),
    ],
)
def test_active_directorys_sub_code_tells_more(sub_code: str, kind: type[DirectoryError]) -> None:
    assert bind(49, AD.format(sub_code)) is kind


def test_a_sub_code_never_turns_another_result_around() -> None:
    assert bind(0, AD.format("52e")) is None
    assert bind(53, AD.format("532")) is Misconfigured


@pytest.mark.parametrize("code", [0, 49])
@pytest.mark.parametrize(("error", "kind"), [(0, PasswordExpired), (1, AccountLocked), (2, PasswordExpired)])
def test_a_password_policy_error_refuses_whatever_the_result(code: int, error: int, kind: type[DirectoryError]) -> None:
    assert bind(code, policy=error) is kind


def test_policy_errors_about_changing_passwords_do_not_concern_a_login() -> None:
    assert bind(0, policy=5) is None
    assert bind(49, policy=5) is WrongPassword


def test_an_outage_is_not_hidden_by_a_policy_error() -> None:
    assert bind(52, policy=0) is ServerFault


def test_results_are_described_for_the_log() -> None:
    assert described(Result(1, BIND_RESPONSE, 53, "no password", None)) == "unwillingToPerform (53): no password"
    assert described(Result(1, BIND_RESPONSE, 4242, "", None)) == "result (4242)"
    assert len(described(Result(1, BIND_RESPONSE, 80, "x" * 5000, None))) < 300

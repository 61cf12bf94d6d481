"""Which failures count against whoever typed the credentials."""

import pytest

from ldapmap import errors
from ldapmap.errors import DirectoryError, Misconfigured, NoRoute, ServerFault, Unavailable

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DirectoryError)]
COUNTING = {"UnknownUser", "WrongPassword", "EmptyPassword", "InvalidName"}


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_the_client_did_wrong_counts(kind: type[DirectoryError]) -> None:
    assert kind.counts is (kind.__name__ in COUNTING)


@pytest.mark.parametrize("kind", KINDS)
def test_every_failure_has_a_reason(kind: type[DirectoryError]) -> None:
    failure = kind("because")
    assert failure.reason == str(failure) == "because"


def test_trouble_of_ours_is_always_unavailable() -> None:
    assert issubclass(NoRoute, Misconfigured)
    assert issubclass(Misconfigured, Unavailable)
    assert issubclass(ServerFault, Unavailable)


def test_a_server_is_asked_again_only_when_the_fault_says_so() -> None:
    assert not ServerFault("hangs").again
    assert ServerFault("lost", again=True).again

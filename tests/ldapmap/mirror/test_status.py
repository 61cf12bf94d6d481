"""How the mirror's status follows from what happens."""

import dataclasses

import pytest

from ldapmap.mirror.status import MirrorStatus, Progress

STATUS = MirrorStatus(
    state="following",
    server="ldap://a",
    users=3,
    entries=4,
    file_bytes=4096,
    generation=2,
    last_contact=12.5,
    lag_seconds=0.5,
    changes=1,
    received=5,
    reloads=1,
    reconnects=0,
    purges_refused=0,
    unusable=1,
    message="",
)


def test_a_status_survives_the_way_through_json() -> None:
    assert MirrorStatus.from_json({**STATUS.as_json(), "newer": 1}) == STATUS


def test_a_status_without_a_field_is_refused() -> None:
    values = STATUS.as_json()
    del values["users"]
    with pytest.raises(KeyError):
        MirrorStatus.from_json(values)


def test_a_status_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        STATUS.users = 7  # type: ignore[misc]


def test_a_server_is_loaded_from_followed_and_lost() -> None:
    progress = Progress()
    assert progress.state == "disconnected"
    progress.loading("ldap://a")
    assert (progress.state, progress.server) == ("loading", "ldap://a")
    progress.following("ldap://a")
    assert (progress.state, progress.server, progress.reconnects) == ("following", "ldap://a", 0)
    progress.failed("ldap://a", "gone")
    assert (progress.state, progress.server, progress.message) == ("disconnected", "", "ldap://a: gone")


def test_a_server_is_named_once_in_a_message() -> None:
    progress = Progress()
    progress.failed("ldap://a", "ldap://a: gone")
    assert progress.message == "ldap://a: gone"


def test_a_message_is_bounded_whatever_a_server_says() -> None:
    progress = Progress()
    progress.failed("ldap://a", "x" * 100_000)
    assert len(progress.message) == 1000


def test_following_again_is_a_reconnect_and_following_on_is_none() -> None:
    progress = Progress()
    progress.following("ldap://a")
    progress.following("ldap://a")
    assert progress.reconnects == 0
    progress.failed("ldap://a", "gone")
    progress.following("ldap://b")
    assert progress.reconnects == 1
    assert progress.message == ""


def test_a_refusal_is_told_until_a_server_is_followed() -> None:
    progress = Progress()
    progress.refused("ldap://a", "9 of 10 entries")
    progress.failed("ldap://b", "no connection")
    assert (progress.state, progress.message, progress.purges_refused) == ("refused", "ldap://a: 9 of 10 entries", 1)
    progress.following("ldap://b")
    assert (progress.state, progress.message) == ("following", "")

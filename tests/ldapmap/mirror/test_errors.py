"""The reasons that operators read."""

from ldapmap.mirror.errors import MirrorError, PurgeRefused, Unusable


def test_a_refused_purge_says_how_much_would_go() -> None:
    refused = PurgeRefused(30, 100)
    assert isinstance(refused, MirrorError)
    assert (refused.count, refused.total) == (30, 100)
    assert "30 of 100" in refused.reason == str(refused)


def test_a_reason_is_what_it_was_made_with() -> None:
    assert Unusable("cut off").reason == "cut off"

"""What can be counted is a short list, because every word becomes a label."""

from ldapmap.meters import NO_METERS, OPERATIONS, OUTCOMES, REMEMBERED, SOURCES


def test_the_words_are_few_and_fixed() -> None:
    assert OPERATIONS == ("connect", "search", "bind")
    assert OUTCOMES == ("ok", "refused", "unavailable", "misconfigured", "timeout")
    assert SOURCES == ("live", "mirror", "cache", "stale", "missing")
    assert REMEMBERED == ("accepted", "refused", "unknown")


def test_whoever_counts_nothing_may_be_told_everything() -> None:
    for operation in OPERATIONS:
        for outcome in OUTCOMES:
            NO_METERS.operation("ldap://a:389", operation, outcome, 0.1)
    for source in SOURCES:
        NO_METERS.answered(source)
    for said in REMEMBERED:
        NO_METERS.remembered(said)
    NO_METERS.waited(1.0)

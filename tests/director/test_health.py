"""A backend is down after failures in a row, and tried again now and then."""

from director.health import Health
from tests.director.examples import shard


def health(failures_to_down: int = 2) -> Health:
    return Health(failures_to_down, retry_after=15.0)


def down_at(now: float) -> Health:
    book = health()
    assert not book.report("a", False, now)
    assert book.report("a", False, now)
    return book


def test_a_backend_nobody_reported_is_up() -> None:
    assert health().state("a", 0.0) == "up"
    assert health().retry_in("a", 0.0) == 0.0


def test_failures_count_only_in_a_row() -> None:
    book = health()
    for _ in range(3):
        assert not book.report("a", False, 0.0)
        assert book.state("a", 0.0) == "up"
        assert book.retry_in("a", 0.0) == 0.0
        assert not book.report("a", True, 0.0)


def test_a_single_failure_may_be_enough() -> None:
    assert health(failures_to_down=1).report("a", False, 0.0)


def test_failures_of_one_backend_are_not_anothers() -> None:
    book = health()
    book.report("a", False, 0.0)
    assert not book.report("b", False, 0.0)


def test_a_backend_that_is_down_is_due_for_a_trial_later() -> None:
    book = down_at(100.0)
    assert (book.state("a", 100.0), book.retry_in("a", 100.0)) == ("down", 15.0)
    assert (book.state("a", 114.9), round(book.retry_in("a", 114.9), 6)) == ("down", 0.1)
    assert (book.state("a", 115.0), book.retry_in("a", 115.0)) == ("trial", 0.0)


def test_one_login_has_the_trial() -> None:
    book = down_at(100.0)
    book.use("a", 115.0)
    assert book.state("a", 115.0) == "down"
    assert book.state("a", 130.0) == "trial"


def test_a_trial_is_passed_or_failed() -> None:
    passed, failed = down_at(100.0), down_at(100.0)
    passed.report("a", True, 116.0)
    assert passed.state("a", 116.0) == "up"
    assert failed.report("a", False, 116.0)
    assert (failed.state("a", 130.9), failed.state("a", 131.0)) == ("down", "trial")


def test_using_what_is_up_or_down_changes_nothing() -> None:
    book = down_at(100.0)
    book.use("a", 101.0)
    book.use("b", 101.0)
    assert (book.state("a", 115.0), book.state("b", 115.0)) == ("trial", "up")


def test_usable_are_those_that_are_up_or_due() -> None:
    pair = shard("s1", a=1, b=2)
    book = down_at(100.0)
    assert book.usable(pair, 100.0) == {"b"}
    assert book.usable(pair, 115.0) is pair.names
    assert health().usable(pair, 100.0) is pair.names

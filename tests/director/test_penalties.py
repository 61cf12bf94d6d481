"""Who fails waits; who has been there before waits for nobody else."""

from director.penalties import Penalties

HOME, OFFICE = "192.0.2.1", "198.51.100.7"


def penalties(free: int = 0, most: int = 10, first: float = 2.0) -> Penalties:
    return Penalties(free=free, first=first, longest=15.0, decay=60.0, most=most)


def test_a_failure_counts_for_the_pair_and_the_first_of_a_pair_for_user_and_address() -> None:
    book = penalties()
    book.failed("alice", HOME, 0.0)
    book.failed("alice", HOME, 0.0)
    assert book.failures(("alice", HOME), 0.0) == (2.0, 4.0)
    assert book.failures(("alice", ""), 0.0) == book.failures(("", HOME), 0.0) == (1.0, 2.0)
    assert set(book.subjects()) == {("alice", HOME), ("alice", ""), ("", HOME)}


def test_a_pair_that_is_known_is_asked_about_its_own_failures_only() -> None:
    book = penalties()
    assert book.succeeded("alice", HOME)
    book.failed("bob", HOME, 0.0)
    assert book.wait("alice", HOME, 0.0) == 0.0
    assert book.wait("carol", HOME, 0.0) == 2.0
    book.attempt("alice", HOME, 1.0)
    assert book.wait("carol", HOME, 1.0) == 1.0


def test_an_attempt_begins_the_wait_of_strangers_anew() -> None:
    book = penalties()
    book.failed("bob", HOME, 0.0)
    book.failed("carol", HOME, 0.0)
    book.attempt("dave", HOME, 4.0)
    assert book.wait("erin", HOME, 4.0) > 3.5


def test_one_may_try_without_being_asked_about_when_there_are_no_waits() -> None:
    book = penalties(first=0.0)
    assert book.failed("alice", HOME, 0.0) == 0.0
    assert book.unrest("alice", HOME, 0.0) == []


def test_strangers_are_asked_about_until_the_failures_are_forgotten() -> None:
    book = penalties()
    book.failed("alice", HOME, 0.0)
    assert dict(book.unrest("alice", OFFICE, 10.0)) == {("alice", ""): 50.0}
    book.forgive(lambda subject: subject == ("alice", ""))
    assert book.unrest("alice", OFFICE, 10.0) == []
    assert dict(book.unrest("alice", HOME, 10.0)) == {("alice", HOME): 50.0, ("", HOME): 50.0}


def test_memory_is_bounded_and_what_is_forgiven_by_time_is_forgotten() -> None:
    book = penalties(most=2)
    for last in range(9):
        book.failed(f"user{last}", f"192.0.2.{last}", 0.0)
        book.succeeded(f"user{last}", OFFICE)
    assert len(book.subjects()) == 6
    assert not book.succeeded("user8", OFFICE)
    assert book.succeeded("user6", OFFICE)
    book.sweep(59.0)
    assert len(book.subjects()) == 6
    book.sweep(60.0)
    assert book.subjects() == []

"""Another site takes over when all of the first have been gone for some time."""

import pytest

from director import Backend, Shard
from director.sites import Sites


def shard(*backends: tuple[str, int, str]) -> Shard:
    """A shard with a name, priority and site for each backend."""
    return Shard(
        "s1", tuple(Backend(name, f"{name}.example", {}, priority, 1, site) for name, priority, site in backends)
    )


TWO_AND_ONE = shard(("a", 1, "hall"), ("b", 2, "hall"), ("c", 3, "cellar"))
EVEN = shard(("a", 1, "hall"), ("b", 1, "cellar"), ("c", 2, "attic"))


def sites(of: Shard) -> Sites:
    book = Sites(300.0)
    book.arrange([of])
    return book


def turn(book: Sites, of: Shard, preferred: str = "") -> str:
    return "".join(sorted(book.on_turn(of, preferred)))


def test_a_shard_at_one_site_knows_nothing_of_sites() -> None:
    of = shard(("a", 1, ""), ("b", 2, ""))
    book = sites(of)
    assert not book.spreads(of)
    book.review("ab", 0.0)
    book.review("ab", 1000.0)
    assert book.on_turn(of, "b") is of.names
    assert book.given_up() == frozenset()


def test_the_other_site_takes_over_when_all_of_the_first_have_been_gone_for_so_long() -> None:
    book = sites(TWO_AND_ONE)
    assert book.spreads(TWO_AND_ONE)
    book.review("", 0.0)
    assert turn(book, TWO_AND_ONE) == "ab"
    book.review("a", 10.0)
    book.review("ab", 20.0)
    book.review("ab", 319.9)
    assert turn(book, TWO_AND_ONE) == "ab"
    book.review("ab", 320.0)
    assert turn(book, TWO_AND_ONE) == "abc"


def test_the_first_site_has_its_turn_again_as_soon_as_one_of_it_is_back() -> None:
    book = sites(TWO_AND_ONE)
    book.review("ab", 0.0)
    book.review("ab", 300.0)
    book.review("a", 301.0)
    assert turn(book, TWO_AND_ONE) == "ab"
    book.review("ab", 302.0)
    assert turn(book, TWO_AND_ONE) == "ab"


def test_without_a_delay_it_takes_over_at_once() -> None:
    book = Sites(0.0)
    book.arrange([TWO_AND_ONE])
    book.review("ab", 5.0)
    assert turn(book, TWO_AND_ONE) == "abc"


def test_the_site_of_the_preferred_backend_is_the_first() -> None:
    book = sites(TWO_AND_ONE)
    assert turn(book, TWO_AND_ONE, "c") == "c"
    assert turn(book, TWO_AND_ONE, "b") == "ab"
    assert turn(book, TWO_AND_ONE, "stranger") == "ab"
    book.review("c", 0.0)
    book.review("c", 300.0)
    assert turn(book, TWO_AND_ONE, "c") == "abc"
    assert turn(book, TWO_AND_ONE) == "ab"


def test_sites_of_the_best_priority_stand_in_for_each_other_at_once() -> None:
    book = sites(EVEN)
    assert turn(book, EVEN) == turn(book, EVEN, "a") == turn(book, EVEN, "b") == "ab"
    assert turn(book, EVEN, "c") == "c"
    book.review("a", 0.0)
    book.review("a", 300.0)
    assert turn(book, EVEN) == "ab"


@pytest.mark.parametrize(("gone", "given_up"), [("ab", "ab"), ("a", ""), ("abc", ""), ("c", "c")])
def test_a_lost_site_is_given_up_while_another_one_stands_in(gone: str, given_up: str) -> None:
    book = sites(TWO_AND_ONE)
    book.review(gone, 0.0)
    book.review(gone, 300.0)
    assert book.given_up() == set(given_up)


def test_shards_that_are_taken_away_are_forgotten() -> None:
    book = sites(TWO_AND_ONE)
    book.review("ab", 0.0)
    book.review("ab", 300.0)
    book.arrange([])
    book.review("ab", 301.0)
    assert book.given_up() == frozenset()
    assert book.on_turn(TWO_AND_ONE, "") is TWO_AND_ONE.names

"""Kept answers: bounded, and never older than what was known before."""

from hypothesis import given
from hypothesis import strategies as st

from ldapmap.cache import Answer, Answers
from tests.ldapmap.scripted import ALICE, BOB


def test_an_answer_is_kept_and_replaced_by_a_later_one() -> None:
    answers = Answers(10)
    assert answers.get("alice") is None
    answers.put("alice", Answer(ALICE, 1.0))
    assert answers.get("alice") == Answer(ALICE, 1.0)
    answers.put("alice", Answer(BOB, 1.0))
    assert answers.get("alice") == Answer(BOB, 1.0)
    answers.put("alice", Answer(None, 2.0))
    assert answers.get("alice") == Answer(None, 2.0)
    answers.put("alice", Answer(ALICE, 3.0))
    assert answers.get("alice") == Answer(ALICE, 3.0)
    assert len(answers) == 1


def test_an_answer_to_an_earlier_search_changes_nothing() -> None:
    answers = Answers(10)
    answers.put("alice", Answer(ALICE, 2.0))
    answers.put("alice", Answer(BOB, 1.0))
    answers.put("alice", Answer(None, 1.0))
    assert not answers.drop("alice", 1.0)
    assert answers.get("alice") == Answer(ALICE, 2.0)
    assert answers.drop("alice", 2.0)
    assert answers.get("alice") is None


def test_the_least_recently_used_makes_room() -> None:
    answers = Answers(2)
    for name in ("a", "b"):
        answers.put(name, Answer(ALICE, 1.0))
    answers.get("a")
    answers.put("c", Answer(ALICE, 1.0))
    assert [name for name in "abc" if answers.get(name)] == ["a", "c"]


def test_names_tried_at_random_do_not_push_out_users() -> None:
    answers = Answers(2)
    answers.put("alice", Answer(ALICE, 1.0))
    for number in range(100):
        answers.put(f"guess{number}", Answer(None, 2.0))
    assert answers.get("alice") == Answer(ALICE, 1.0)
    assert len(answers) == 3


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.integers(0, 5))))
def test_whatever_happens_the_size_is_kept_and_the_last_answer_is_there(
    size: int, steps: list[tuple[str, bool, int]]
) -> None:
    answers = Answers(size)
    for name, known, asked in steps:
        before = answers.get(name)
        answer = Answer(ALICE if known else None, float(asked))
        answers.put(name, answer)
        assert answers.get(name) == (before if before is not None and before.asked > asked else answer)
        assert len(answers) <= 2 * size

"""Whose holds count."""

from __future__ import annotations

from director.nodes import Nodes
from director.store import Node


def table(**ages: float) -> list[Node]:
    return [Node(name, name, age) for name, age in ages.items()]


def test_a_node_that_is_silent_for_too_long_is_dead_and_that_is_news_once() -> None:
    nodes = Nodes("a", 6.0, 0.0)
    assert nodes.look(table(a=0.0, b=5.9), False, 1.0) == []
    assert nodes.living == {"a", "b"}
    assert nodes.look(table(a=0.0, b=6.0), False, 2.0) == ["b"]
    assert nodes.look(table(a=0.0, b=7.0), False, 3.0) == []
    assert "b" in nodes
    assert nodes.ages["b"] == 7.0


def test_this_node_lives_whatever_the_table_says() -> None:
    nodes = Nodes("a", 6.0, 0.0)
    assert nodes.look(table(a=99.0), False, 1.0) == []
    assert "a" not in nodes


def test_this_node_counts_for_others_as_long_as_the_store_has_lately_had_its_word() -> None:
    nodes = Nodes("a", 6.0, 0.0)
    nodes.look(table(a=0.0), False, 1.0)
    assert not nodes.count_us(2.9)
    nodes.look(table(a=0.0), False, 2.9)
    assert nodes.count_us(3.0)
    assert nodes.count_us(5.8)
    assert not nodes.count_us(5.9)
    nodes.look(table(a=0.0), False, 6.0)
    assert not nodes.count_us(8.9)


def test_a_node_that_is_back_lives() -> None:
    nodes = Nodes("a", 6.0, 0.0)
    nodes.look(table(b=6.0), False, 1.0)
    nodes.look(table(b=0.0), False, 2.0)
    assert "b" not in nodes


def test_a_life_that_the_store_has_not_heard_of_is_dead_only_when_it_has_been_missing_for_long() -> None:
    nodes = Nodes("a", 6.0, 0.0)
    assert "c" not in nodes
    nodes.look(table(a=0.0), False, 5.9)
    assert "c" not in nodes
    nodes.look(table(a=0.0), False, 6.0)
    assert "c" in nodes


def test_the_time_begins_anew_when_it_comes_or_the_store_has_lost_everything() -> None:
    nodes = Nodes("a", 6.0, 0.0)
    assert "c" not in nodes
    nodes.look(table(c=0.0), False, 5.0)
    nodes.look(table(), False, 6.0)
    assert "c" not in nodes
    nodes.look(table(), True, 11.0)
    assert "c" not in nodes
    nodes.look(table(), False, 17.0)
    assert "c" in nodes


def test_the_first_of_the_living_clears_up() -> None:
    nodes = Nodes("b", 6.0, 0.0)
    assert nodes.is_first
    nodes.look(table(a=0.0, b=0.0), False, 1.0)
    assert not nodes.is_first
    nodes.look(table(a=9.0, b=0.0), False, 2.0)
    assert nodes.is_first


def test_what_is_no_name_is_no_dead_node() -> None:
    assert 7 not in Nodes("a", 6.0, 0.0)


def test_a_node_that_does_not_come_back_to_an_emptied_table_is_dead_and_that_is_news_once() -> None:
    nodes = Nodes("a", 6.0, 0.0)
    nodes.look(table(a=0.0, b=0.0, c=0.0), False, 1.0)
    assert nodes.look(table(a=0.0), True, 2.0) == []
    assert nodes.look(table(a=0.0, c=0.0), False, 7.9) == []
    assert "b" not in nodes
    assert nodes.look(table(a=0.0, c=0.0), False, 8.0) == ["b"]
    assert "b" in nodes
    assert nodes.look(table(a=0.0, c=0.0), False, 9.0) == []


def test_a_node_is_known_once_the_table_has_told_of_it() -> None:
    nodes = Nodes("a", 6.0, 0.0)
    assert nodes.is_known("a")
    assert not nodes.is_known("b")
    nodes.look(table(b=0.0), False, 1.0)
    assert nodes.is_known("b")

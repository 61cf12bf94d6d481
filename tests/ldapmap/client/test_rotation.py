"""Taking turns by weight."""

from dataclasses import dataclass

from ldapmap.client.rotation import Rotation


@dataclass(frozen=True)
class Peer:
    name: str
    weight: int


A, B, C = Peer("a", 5), Peer("b", 1), Peer("c", 1)


def test_turns_are_as_many_as_the_weight_says_and_evenly_spread() -> None:
    rotation = Rotation()
    assert "".join(rotation.next([A, B, C]).name for _ in range(14)) == "aabacaaaabacaa"  # nginx's own example


def test_equal_weights_alternate() -> None:
    rotation = Rotation()
    assert "".join(rotation.next([B, C]).name for _ in range(6)) == "bcbcbc"


def test_who_is_alone_is_chosen_and_owes_nothing_later() -> None:
    rotation = Rotation()
    assert [rotation.next([B]).name for _ in range(5)] == ["b"] * 5
    assert "".join(rotation.next([B, C]).name for _ in range(4)) == "bcbc"


def test_who_was_away_comes_back_without_a_burst() -> None:
    rotation = Rotation()
    for _ in range(7):
        rotation.next([A, B, C])
    for _ in range(100):
        rotation.next([A, C])
    chosen = "".join(rotation.next([A, B, C]).name for _ in range(14))
    assert "bb" not in chosen
    assert chosen.count("b") == 2

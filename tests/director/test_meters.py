"""What is measured, and by which words."""

from __future__ import annotations

from director.meters import GRANTS, KICKS, LIMITS, MOVE_STEPS, NO_METERS, REFUSALS


def test_who_counts_nothing_may_be_told_everything() -> None:
    NO_METERS.store("swap", True, 0.0)
    NO_METERS.probed("mb1a", True)
    NO_METERS.gate("synced")
    NO_METERS.assigned(0.0)
    NO_METERS.lagged(0.0)


def test_there_is_a_word_for_whatever_can_happen() -> None:
    for words in (GRANTS, KICKS, LIMITS, MOVE_STEPS, REFUSALS):
        assert all(words)
        assert len(set(words)) == len(words)

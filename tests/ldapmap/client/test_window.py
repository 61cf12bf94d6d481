"""How many questions a server may have at a time follows from how long its answers take."""

import pytest

from ldapmap.client.window import Window


def answered(window: Window, times: int, seconds: float, others_wait: bool = True) -> int:
    for _ in range(times):
        window.answered(seconds, others_wait)
    return window.size


def test_it_begins_small_and_never_above_what_is_allowed() -> None:
    assert Window(256, 5.0).size == 16
    assert Window(2, 5.0).size == 2


def test_fast_answers_widen_it_while_others_wait() -> None:
    window = Window(256, 5.0)
    assert answered(window, 2, 0.1) == 17
    assert answered(window, 1000, 0.1, others_wait=False) == 17
    assert answered(window, 1000, 0.1) == 256


def test_slow_answers_narrow_it_and_it_never_closes() -> None:
    window = Window(256, 5.0)
    assert answered(window, 4, 1.25) == 14
    assert answered(window, 1000, 5.0) == 4
    narrow = Window(2, 5.0)
    assert answered(narrow, 1000, 5.0) == 2


def test_answers_that_are_neither_leave_it_alone() -> None:
    assert answered(Window(256, 5.0), 1000, 1.0) == 16


@pytest.mark.parametrize("rate", [2.0, 5.0, 50.0, 500.0])
def test_a_server_that_answers_one_after_the_other_answers_in_time(rate: float) -> None:
    """A queue in the server: an answer takes as long as all that were sent before it."""
    window, worst = Window(256, 5.0), 0.0
    for _ in range(5000):
        latency = window.size / rate
        window.answered(latency, True)
        worst = max(worst, window.size / rate)
    assert window.size / rate < 5.0 / 2
    if rate >= 5.0:
        assert worst < 5.0

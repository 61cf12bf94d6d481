"""The breaker, with a clock of the test's own."""

from ldapmap.client.breaker import Breaker


def test_a_server_is_down_from_its_failure_to_its_answer() -> None:
    breaker = Breaker(longest=10.0)
    assert not breaker.down
    assert breaker.failed(100.0)
    assert breaker.down
    assert breaker.failed_at == 100.0
    breaker.answered()
    assert not breaker.down


def test_many_failures_at_once_are_one() -> None:
    breaker = Breaker(longest=10.0)
    assert breaker.failed(100.0)
    assert not breaker.failed(100.5)
    assert breaker.failed_at == 100.5
    assert breaker.probe_at == 101.0


def test_the_pause_between_probes_doubles_up_to_the_longest_and_starts_anew_after_an_answer() -> None:
    breaker = Breaker(longest=10.0)
    breaker.failed(0.0)
    pauses = [breaker.probe_at]
    for _ in range(5):
        breaker.probe_failed(0.0)
        pauses.append(breaker.probe_at)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    breaker.answered()
    breaker.failed(50.0)
    assert breaker.probe_at == 51.0

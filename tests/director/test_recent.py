"""What was written last is kept, and what is over goes when it is the oldest."""

from director.recent import Recent


def test_only_the_latest_are_kept() -> None:
    table: Recent[str, int] = Recent(2)
    for key in "abac":
        table.keep(key, 0)
    assert list(table) == ["a", "c"]


def test_sweeping_stops_at_the_first_that_is_not_over() -> None:
    table: Recent[str, int] = Recent(9)
    for key, end in (("a", 1), ("b", 2), ("c", 9), ("d", 1)):
        table.keep(key, end)
    table.sweep(lambda _, end: end <= 2)
    assert list(table) == ["c", "d"]
    table.sweep(lambda key, _: key in "cd")
    assert not table


def test_one_sweep_takes_only_so_much_time() -> None:
    table: Recent[int, None] = Recent(1000)
    for key in range(1000):
        table.keep(key, None)
    for _ in range(5):
        table.sweep(lambda key, _: True)
    assert 0 < len(table) < 1000

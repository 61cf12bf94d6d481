"""Changes as they are kept."""

from ldapmap.mirror.changes import Change, change_of, key_of, number_of


def test_a_change_is_read_as_it_was_written() -> None:
    for change in (
        Change(7, "alice", "s2", "mb2", "s1", ""),
        Change(2**62, "", "", "", "", "", "s1"),
    ):
        assert change_of(key_of(change.sequence), change.value()) == change


def test_keys_are_ordered_as_numbers_are() -> None:
    numbers = [0, 1, 255, 256, 2**40]
    assert [number_of(key) for key in sorted(map(key_of, numbers))] == numbers

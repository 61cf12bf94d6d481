"""The errors tell the operator what was looked for."""

import pytest

from director import DirectorError, NoBackend, NoRoom, NoShard


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NoShard("mb9\n"), r"no shard is called 'mb9\n' and none alone has a backend of this name or host"),
        (NoBackend("s1"), "all backends of shard 's1' are down"),
        (NoRoom(10), "10 users have sessions, more are not remembered (max_assignments)"),
    ],
)
def test_each_error_says_what_it_is_about(error: DirectorError, text: str) -> None:
    assert isinstance(error, DirectorError)
    assert str(error) == text


def test_errors_carry_what_they_are_about() -> None:
    assert (NoShard("mb9").value, NoBackend("s1").shard, NoRoom(10).limit) == ("mb9", "s1", 10)

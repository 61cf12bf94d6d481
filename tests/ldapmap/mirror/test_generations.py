"""One file after the other, and one in use."""

from pathlib import Path

import pytest

from ldapmap.mirror.errors import Unusable
from ldapmap.mirror.generations import Generations, current_of


@pytest.fixture
def generations(tmp_path: Path) -> Generations:
    made = Generations(tmp_path / "run" / "mirror")
    made.acquire()
    return made


def made(path: Path) -> list[Path]:
    files = [path, *(path.with_name(path.name + end) for end in ("-lock", ".open", ".load", ".load-lock"))]
    for each in files:
        each.touch()
    return files


def test_the_directory_is_its_owners(generations: Generations, tmp_path: Path) -> None:
    assert (tmp_path / "run" / "mirror").stat().st_mode & 0o777 == 0o700


def test_in_the_beginning_nothing_is_in_use(generations: Generations) -> None:
    assert generations.current is None
    assert generations.new().name == "mirror-1.mdb"


def test_a_published_file_is_in_use_and_the_others_go(generations: Generations) -> None:
    first = generations.new()
    old = made(first)
    generations.publish(first)
    assert generations.current == first
    assert all(each.exists() for each in old)
    second = generations.new()
    assert second.name == "mirror-2.mdb"
    new = made(second)
    generations.publish(second)
    assert generations.current == second
    assert all(each.exists() for each in new)
    assert not any(each.exists() for each in old)


def test_what_came_to_nothing_is_removed(generations: Generations) -> None:
    first = generations.new()
    files = made(first)
    generations.discard(first)
    generations.discard(first)
    assert not any(each.exists() for each in files)
    files = made(first)
    assert generations.new() == first
    assert not any(each.exists() for each in files)


def test_a_link_to_something_else_is_not_in_use(generations: Generations, tmp_path: Path) -> None:
    current_of(tmp_path / "run" / "mirror").symlink_to("/etc/passwd")
    assert generations.current is None
    assert generations.number(Path("/etc/passwd")) == 0
    first = generations.new()
    generations.publish(first)
    assert generations.current == first


def test_a_second_process_is_refused_until_the_first_is_done(generations: Generations, tmp_path: Path) -> None:
    second = Generations(tmp_path / "run" / "mirror")
    with pytest.raises(Unusable, match="another process"):
        second.acquire()
    second.release()
    generations.release()
    second.acquire()
    second.release()

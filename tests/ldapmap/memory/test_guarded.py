"""Memory for secrets, as the kernel describes it."""

import mmap
import os
import resource
from collections.abc import Iterator

import pytest

from ldapmap.memory.guarded import dumpable, guarded, lock

SIZE = 123 * mmap.PAGESIZE


@pytest.fixture(autouse=True)
def as_dumpable_as_before() -> Iterator[None]:
    was = dumpable(True)
    yield
    dumpable(was)


def flags_of_mappings(size: int) -> list[set[str]]:
    """The kernel's flags (proc(5), VmFlags) of our mappings of this size."""
    found: list[set[str]] = []
    right_size = False
    with open("/proc/self/smaps") as smaps:
        for line in smaps:
            name, *words = line.split()
            if name == "Size:":
                right_size = int(words[0]) * 1024 == size
            elif name == "VmFlags:" and right_size:
                found.append(set(words))
    return found


def test_core_dumps_leave_it_out() -> None:
    with guarded(SIZE) as memory:
        assert memory[:] == bytes(SIZE)
        assert any("dd" in flags for flags in flags_of_mappings(SIZE))


def test_a_child_writes_into_the_same_memory() -> None:
    with guarded(SIZE) as memory:
        child = os.fork()
        if child == 0:
            memory[:5] = b"hello"
            os._exit(0)
        os.waitpid(child, 0)
        assert memory[:5] == b"hello"


def test_a_lock_keeps_it_out_of_swap_or_says_that_it_may_not() -> None:
    with guarded(SIZE) as memory:
        locked = lock(memory)
        assert any("lo" in flags for flags in flags_of_mappings(SIZE)) == locked


def test_who_may_lock_nothing_is_told_so() -> None:
    with guarded(SIZE) as memory:
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
            if os.geteuid() == 0:
                os.setresuid(65534, 65534, 65534)
            os._exit(0 if not lock(memory) else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_whether_a_process_may_be_dumped_is_told_changed_and_inherited() -> None:
    assert dumpable(False) is True
    assert dumpable(False) is False
    child = os.fork()
    if child == 0:
        os._exit(0 if not dumpable(True) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert dumpable(True) is False

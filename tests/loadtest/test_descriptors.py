from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from loadtest.descriptors import allow, allowed


@pytest.fixture(autouse=True)
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def soft() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_all_that_are_allowed() -> None:
    assert allow() == soft() == allowed()


def test_no_more_than_are_wanted_and_never_fewer_than_there_were() -> None:
    assert allow(300) == soft() == 300
    assert allow(10) == soft() == 300

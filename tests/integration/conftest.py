"""The servers that the tests here share, started once; without their Debian packages the tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tls import ThrowawayAuthority

from . import slapd as directory
from .dovecot import Dovecot
from .processes import MissingPackage, short_folder
from .site import Site, User, new_dovecot, populate
from .slapd import Slapd
from .vestibule import Vestibule

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here needs real servers."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """A fixture's missing package skips the test."""
    yield from _skipping_what_is_missing()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A missing package skips the test."""
    yield from _skipping_what_is_missing()


def _skipping_what_is_missing() -> Generator[None]:
    try:
        yield
    except MissingPackage as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Where certificates and secrets of the session lie; the daemon's unprivileged workers can look into it."""
    path = short_folder("vest-site")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def authority() -> ThrowawayAuthority:
    """The authority that all certificates of the session come from."""
    return ThrowawayAuthority("Vestibule test authority")


@pytest.fixture(scope="session")
def slapd() -> Iterator[Slapd]:
    """The directory with everybody in it."""
    if reason := directory.missing():
        raise MissingPackage(f"Debian packages slapd and openssl are needed: {reason}")
    with Slapd() as server:
        populate(server)
        yield server


@pytest.fixture(scope="session")
def dovecots(folder: Path, authority: ThrowawayAuthority) -> Iterator[tuple[Dovecot, Dovecot]]:
    """Two mail servers, the only backends of the shards s1 and s2."""
    with new_dovecot("mb1", folder, authority) as first, new_dovecot("mb2", folder, authority) as second:
        yield first, second


@pytest.fixture(scope="session")
def s1(dovecots: tuple[Dovecot, Dovecot]) -> Dovecot:
    """The mail server of shard s1."""
    return dovecots[0]


@pytest.fixture(scope="session")
def s2(dovecots: tuple[Dovecot, Dovecot]) -> Dovecot:
    """The mail server of shard s2."""
    return dovecots[1]


@pytest.fixture(scope="session")
def site(folder: Path, authority: ThrowawayAuthority, slapd: Slapd, dovecots: tuple[Dovecot, Dovecot]) -> Site:
    """All of the above, and the configuration that ties it together."""
    return Site(folder, authority, slapd, *dovecots)


@pytest.fixture(scope="session")
def vestibule(site: Site) -> Iterator[Vestibule]:
    """The daemon in its plainest configuration, shared by all tests that do not harm it."""
    with site.vestibule() as daemon:
        yield daemon


@pytest.fixture
def user(site: Site) -> User:
    """Somebody in shard s1 with an empty mailbox."""
    return site.user("s1")

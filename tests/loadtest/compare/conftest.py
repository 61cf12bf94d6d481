"""What the tests here share: the surroundings and the clients of a comparison, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loadtest.compare.clients import Clients, clients
from loadtest.compare.surroundings import Surroundings, surroundings


@pytest.fixture(scope="package")
def around() -> Iterator[Surroundings]:
    """A backend, a directory and a certificate."""
    with surroundings() as found:
        yield found


@pytest.fixture(scope="package")
def fleet(around: Surroundings) -> Iterator[Clients]:
    """Two processes of clients."""
    with clients(around.certificate.chain) as found:
        yield found

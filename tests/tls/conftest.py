"""What most tests of certificates and contexts begin with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tls import CertificateFiles, CertificatePair, ThrowawayAuthority, read_pair


@pytest.fixture(scope="session")
def authority() -> ThrowawayAuthority:
    return ThrowawayAuthority()


@pytest.fixture
def ca_file(authority: ThrowawayAuthority, tmp_path: Path) -> Path:
    return authority.write_ca(tmp_path / "ca.pem")


@pytest.fixture
def files(authority: ThrowawayAuthority, tmp_path: Path) -> CertificateFiles:
    """A good certificate for imap.example."""
    return authority.issue(tmp_path, "imap", dns=["imap.example"])


@pytest.fixture
def pair_for(authority: ThrowawayAuthority, tmp_path: Path) -> Callable[..., CertificatePair]:
    """Issue and read a pair for these DNS names."""

    def issue(*dns: str) -> CertificatePair:
        return read_pair(authority.issue(tmp_path, dns[0].replace("*", "any"), dns=dns))

    return issue

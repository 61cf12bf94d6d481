"""Where the server's certificates are, as the operator writes it."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """One `[[certificate]]`: a chain and the key of its first certificate."""

    chain: Path = field(
        metadata={
            "doc": "PEM file with the server's certificate first, then the intermediate ones, as ACME clients write it."
        }
    )
    key: Path = field(
        metadata={
            "doc": "PEM file with the private key of the first certificate, not encrypted: nobody is there to type."
        }
    )

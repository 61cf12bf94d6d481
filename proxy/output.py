"""What all commands print alike, and the exit codes that scripts rely on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from ldapmap import Finding

DONE, REFUSED, UNUSABLE = 0, 1, 2
"""Done; refused or not found; bad usage or configuration."""


def verdict(findings: Sequence[Finding]) -> int:
    """REFUSED when there is an error among them."""
    return REFUSED if any(finding.level == "error" for finding in findings) else DONE


def print_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    """A line for each finding, or all as JSON."""
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
        return
    for finding in findings:
        print(f"{finding.level:<8} {finding.subject}: {finding.text}")

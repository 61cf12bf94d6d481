"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. An "error" means that logins would fail, a "warning" that some might or should not work."""

    level: Literal["ok", "warning", "error"]
    subject: str
    text: str

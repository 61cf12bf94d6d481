"""An answer for an operator who asks why: what was done or found, step by step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Step = tuple[str, str]
"""What was done or found, and its result."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The steps of one user's way, and whether it leads anywhere."""

    typed: str
    found: bool
    steps: tuple[Step, ...]

    def as_text(self) -> str:
        """A line for each step; text that could disturb a terminal is quoted."""
        width = max(len(label) for label, _ in self.steps)
        return "\n".join(f"{label:<{width}}  {_printable(value)}" for label, value in self.steps)

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "typed": self.typed,
            "found": self.found,
            "steps": [{"step": label, "result": value} for label, value in self.steps],
        }


def _printable(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)

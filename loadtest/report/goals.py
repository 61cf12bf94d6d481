"""What is better, less or more: by a figure's goal where it has one, else by its unit and its name."""

from __future__ import annotations

import re
from typing import Literal

from loadtest.figures import Figure

Better = Literal["less", "more", ""]
"""Empty: it cannot be told."""

_GOAL = re.compile(r"\s*(?P<sense><=|>=|<|>|≤|≥|at most|at least|under|over)\s*(?P<value>\d[\d,]*(?:\.\d+)?)")
_LESS = {"<=", "<", "≤", "at most", "under"}
_BAD = re.compile(r"\b(refused|errors?|failed|failures|lost|disconnect\w*|overlaps?|missing|wrong)\b", re.IGNORECASE)
_RATE = re.compile(r"(/s|per s|per second)$")
_TIME = re.compile(r"^(CPU )?(s|ms|µs|us|ns|min)\b")
_SIZE = re.compile(r"^([KMG]i?B|bytes|B)\b")
_MEMORY = re.compile(r"\b(idle|memory|PSS|RSS|sessions?)\b", re.IGNORECASE)


def better(name: str, unit: str, goal: str = "") -> Better:
    """Whether less or more of it is better. A size is only judged when it is memory, or one per something."""
    stated = _GOAL.match(goal)
    if stated:
        return "less" if stated["sense"] in _LESS else "more"
    if _BAD.search(name):
        return "less"
    if _RATE.search(unit):
        return "more"
    if _TIME.match(unit) or (_SIZE.match(unit) and (_MEMORY.search(name) or "/" in unit or " per " in unit)):
        return "less"
    return ""


def met(figure: Figure) -> bool | None:
    """Whether a figure reaches its goal; None when the goal is not of the form `<= 0.41`."""
    stated = _GOAL.match(figure.goal)
    if not stated:
        return None
    value, goal = figure.value, float(stated["value"].replace(",", ""))
    sense = stated["sense"]
    if sense in ("<", ">", "under", "over"):
        return value < goal if sense in _LESS else value > goal
    return value <= goal if sense in _LESS else value >= goal

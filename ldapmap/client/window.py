"""How many questions a server may have at a time, learned from how long its answers take."""

from __future__ import annotations

_FIRST = 16.0  # far more than a server has cores, and answered in time by any that does four a second
_LEAST = 4.0
_STEP = 0.5  # per answer: as a window is answered, it halves or grows by half
_FAST, _SLOW = 1 / 8, 1 / 4  # of the time that an answer may take


class Window:
    """Grows to `most` while answers are fast and others wait; shrinks while they take a quarter of `seconds` or more.

    A crowd then waits on our side of the wire, in order and as long as it may, and not inside the server, where it
    would only make every answer late.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = float(most)
        self._slow, self._fast = seconds * _SLOW, seconds * _FAST
        self._exact = min(_FIRST, self._most)
        self.size = int(self._exact)

    def answered(self, seconds: float, others_wait: bool) -> None:
        """Learn from an answer, or from none within the time."""
        if seconds >= self._slow:
            self._exact = max(self._exact - _STEP, min(_LEAST, self._most))
        elif others_wait and seconds < self._fast:
            self._exact = min(self._exact + _STEP, self._most)
        else:
            return
        self.size = int(self._exact)

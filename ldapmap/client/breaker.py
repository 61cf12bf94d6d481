"""Whether a server is worth asking, decided without I/O."""

from __future__ import annotations

_FIRST_PAUSE = 0.1  # of the longest: a restarted server is back quickly, a dead one is not asked all the time


class Breaker:
    """Remembers that a server failed, and when it should be probed.

    It stays down until a probe or any other question was answered. The pause between probes doubles from a tenth of
    `longest` seconds up to it. Times are whatever clock the caller uses.
    """

    def __init__(self, longest: float) -> None:
        self.down = False
        self.failed_at = float("-inf")
        self.probe_at = 0.0
        self._longest = longest
        self._pause = 0.0

    def failed(self, now: float) -> bool:
        """Note a failure; True when the server was up until now."""
        self.failed_at = now
        if self.down:
            return False
        self.down = True
        self._pause = self._longest * _FIRST_PAUSE
        self.probe_at = now + self._pause
        return True

    def probe_failed(self, now: float) -> None:
        self.failed_at = now
        self._pause = min(self._pause * 2, self._longest)
        self.probe_at = now + self._pause

    def answered(self) -> None:
        self.down = False

"""How all tests run."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A change is judged by the same examples everywhere; `pytest --hypothesis-profile search` looks for new ones.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("judge", settings.get_profile("search"), derandomize=True)
settings.load_profile("judge")

# A shell that runs something beside itself has it ignore SIGINT, and so would every server that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

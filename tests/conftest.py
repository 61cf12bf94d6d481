"""How all tests run."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("no test asserts on time", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no test asserts on time")

# A shell that runs something beside itself has it ignore SIGINT, and so would every server that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

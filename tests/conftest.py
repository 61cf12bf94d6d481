"""How all tests run."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("no test asserts on time", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no test asserts on time")

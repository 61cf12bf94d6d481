"""A site to put a proxy before: many simulated mail servers and a directory, in processes of their own."""

from loadtest.simulated.messages import Presence
from loadtest.simulated.site import Endpoint, SimulatedBackend, Site, SiteFailed, simulated

__all__ = ["Endpoint", "Presence", "SimulatedBackend", "Site", "SiteFailed", "simulated"]

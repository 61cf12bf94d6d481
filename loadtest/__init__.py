"""Tools that put a mail proxy to the test: simulated backends, and the demo that shows Vestibule at work."""

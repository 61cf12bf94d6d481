"""A fleet of mail clients: thousands of sessions that behave as people's programs do, and check what they hear."""

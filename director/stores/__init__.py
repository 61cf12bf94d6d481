"""Where assignments are kept: in this process's memory, or in Redis for several nodes. Each is imported by its name,
so that who needs no network loads none."""

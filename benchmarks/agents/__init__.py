"""Real agents against the real engine: `make agents`."""

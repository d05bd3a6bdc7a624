"""Granted documents in the market: who may read one, and what its publisher asks for it."""

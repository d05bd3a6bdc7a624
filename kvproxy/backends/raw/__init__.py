"""Upstreams that speak the client's own dialect: bytes passed through."""

"""Shares of the engine between tenants: places, pages, compute, and the waiting line."""

"""Handlers, one module for each endpoint."""

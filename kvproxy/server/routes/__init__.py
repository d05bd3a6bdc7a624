"""Routes: one module for each endpoint."""

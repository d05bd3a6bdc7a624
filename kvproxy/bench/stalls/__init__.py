"""Stalls of the proxy's event loop while it is sent the largest bodies that it takes."""

"""The engine of this process as a backend, and the comparison of hits with prefills."""

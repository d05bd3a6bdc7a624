"""Benchmarks of kvproxy and its alternatives: servers with OpenAI's API, measured by one client."""

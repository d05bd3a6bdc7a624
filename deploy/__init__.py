"""Releasing; not a part of the distribution."""

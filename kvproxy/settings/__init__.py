"""Sections of the configuration that ``kvproxy.config`` puts together, and their base."""

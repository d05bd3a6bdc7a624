"""Exactness checks: verify on request, audit in the background, quarantine on a difference."""

"""Measurements on this machine, each beside its usual alternative, in the same run."""

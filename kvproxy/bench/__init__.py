"""Measurements on this machine, each beside what a person would use instead, in the same run."""

"""Attention over KV pages on the CPU, in calls of shapes that depend on a row's position alone."""

"""Attention over KV pages on the CPU, in calls whose shapes depend on a row's position alone."""

"""Which headers go with an answer of a model."""

from __future__ import annotations

CACHED = ("Cache-Status",)
TIMED = ("Server-Timing",)
"""Of the local model's answers; a stream that had to begin early has neither's final values."""

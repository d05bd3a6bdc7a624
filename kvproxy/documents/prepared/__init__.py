"""Prepared documents: their tokens under every framing, kept for the next start."""

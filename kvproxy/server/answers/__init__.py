"""Answers: whole, streamed, or passed on from an upstream."""

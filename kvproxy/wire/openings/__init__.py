"""Volatile openings of system texts, moved behind the stable text so that it can hit."""

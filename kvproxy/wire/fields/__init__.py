"""Every field of the dialects' specifications, sorted by what becomes of it: one table for code and docs."""

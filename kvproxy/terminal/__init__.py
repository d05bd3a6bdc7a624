"""Terminal output: tables, progress, findings."""

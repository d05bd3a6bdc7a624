"""Readers of JSON bodies: strict, bounded, with errors that name the field."""

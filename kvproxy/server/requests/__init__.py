"""Requests: their bodies, content encodings and model names."""

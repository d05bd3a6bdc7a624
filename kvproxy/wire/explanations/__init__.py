"""JSON of ``/kv/v1/explain``."""

"""Residency: the blocks of KV that each replica of a fleet holds, from its events and from ``cached_tokens``."""

"""`ObjectAddress`: the place of an object store and the bounds of a call to it, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SCHEMES = ("file", "s3", "gs", "az")
"""The stores that kvproxy is tested or at least typed for; obstore knows others."""


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """A store by URL: ``file:///mnt/kv``, ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://container/prefix``."""

    url: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """obstore's settings of that store, credentials among them; the environment's variables count where none is set."""
    timeout_s: float = 10.0
    """Seconds for one request, to the last byte of its answer."""
    attempts: int = 3
    """Requests for one call, where earlier ones failed and less than ``timeout_s`` has passed."""
    most_at_once: int = 8
    """Requests at a time; further ones wait."""

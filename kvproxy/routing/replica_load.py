"""`ReplicaLoad`: one replica as a routing decision sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """A replica's share, its work and its speed.

    Example: ``ReplicaLoad("10.0.0.7:8000", queued_tokens=4096, running=3, prefill_tokens_per_s=9000.0)``
    """

    name: str
    weight: float = 1.0
    """Its share of the documents, beside the others'; above 0."""
    queued_tokens: float = 0.0
    """Prompt tokens that were sent to it, are not believed to be cached there and have no first token yet."""
    running: int = 0
    """Requests that it is generating for."""
    prefill_tokens_per_s: float = 1000.0
    """Its measured speed of prefill; above 0."""
    up: bool = True
    """Whether it takes requests: `ReplicaHealth.takes_requests`."""
    capacity: int = 256
    """Requests that it runs at once (vLLM's ``max_num_seqs``); further ones wait in it."""

    def __post_init__(self) -> None:
        if self.weight <= 0 or self.prefill_tokens_per_s <= 0 or self.capacity < 1:
            raise ValueError(f"replica '{self.name}' needs a weight, a speed and a capacity above 0")

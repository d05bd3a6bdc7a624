"""`ReplicaFaults`: what goes wrong at a fake replica, set by tests while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(slots=True)
class ReplicaFaults:
    """Faults that last until they are set back; None or False is none. Actions that happen once, such as an
    eviction, are methods of `FakeReplica`."""

    drop_every: int | None = None
    """Event batches that are lost: each k-th sequence number; the replay socket still has them."""
    cached_off_by: int | None = None
    """Added to the ``cached_tokens`` that usage tells, at least 0."""
    cached_null: bool = False
    """Leave ``prompt_tokens_details`` out."""
    stall_first_s: float | None = None
    """Seconds before anything of an answer, its headers included."""
    stall_after_tokens: int | None = None
    """Tokens after which a stream says nothing for ``stall_s``; 0: after the headers."""
    stall_s: float = 3600.0
    reset_after_tokens: int | None = None
    """Tokens after which the connection is reset; 0: after the headers, which vLLM sends before the prefill."""
    reset_before_headers: bool = False
    error_after_tokens: int | None = None
    """Tokens after which a stream ends with vLLM's error event."""
    fail_status: int | None = None
    """Status of every generation's answer, 500 or 503."""
    retry_after_s: int | None = None
    """``Retry-After`` beside ``fail_status``."""
    fail_requests: int | None = None
    """Generations that fail with ``fail_status``; counted down. None: all."""
    health_status: int | None = None
    health_delay_s: float | None = None
    wrong_template: bool = False
    """Render every conversation with a line in front that the model's template does not have."""
    wrong_tokenizer: bool = False
    """Number every token one higher."""

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Set the named faults. Raises ValueError for a name that there is not."""
        known = {field.name for field in fields(self)}
        if unknown := sorted(set(wanted) - known):
            raise ValueError(f"no fault has the name {unknown[0]}; there are {', '.join(sorted(known))}")
        for name, value in wanted.items():
            setattr(self, name, value)

    def takes_failure(self) -> bool:
        """Whether the next generation fails by ``fail_status``; counts it."""
        if self.fail_status is None or self.fail_requests == 0:
            return False
        if self.fail_requests is not None:
            self.fail_requests -= 1
        return True

    def told_cached(self, cached: int) -> int | None:
        """Return the ``cached_tokens`` that usage tells."""
        if self.cached_null:
            return None
        return max(0, cached + (self.cached_off_by or 0))

"""`TenantSketches`: a frequency sketch for each tenant, in bounded memory; the tenant that sent nothing longest
goes."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from kvproxy.learning.frequency_sketch import FrequencySketch

TENANTS = 512
"""Tenants whose counts are kept: 21 KiB each."""
READERS = 2
"""Readers of a text that make it worth keeping: what a second one sends, a third will."""


@dataclass(slots=True)
class TenantSketch:
    """The counts of one tenant, under a key of its own: its digests mean nothing to another tenant's."""

    openings: FrequencySketch = field(default_factory=FrequencySketch)
    requests: FrequencySketch = field(default_factory=lambda: FrequencySketch(1024))
    """Whole prompts: the same one again is a retry, and no second reader."""
    refused: FrequencySketch = field(default_factory=lambda: FrequencySketch(256))
    """Texts that the tenant has deleted: they are not learned again."""
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)


class TenantSketches:
    """The sketches by scope. Not thread-safe.

    Example:
        ``sketches.of(caller.scope).openings.add(segment.digest)``
    """

    def __init__(self, most: int = TENANTS) -> None:
        self._most = most
        self._sketches: OrderedDict[str, TenantSketch] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sketches)

    @property
    def size(self) -> int:
        """Bytes of all counts."""
        return sum(s.openings.size + s.requests.size + s.refused.size for s in self._sketches.values())

    def of(self, scope: str) -> TenantSketch:
        """Return a tenant's sketch, a new one where it has none."""
        found = self._sketches.get(scope)
        if found is None:
            found = self._sketches[scope] = TenantSketch()
            if len(self._sketches) > self._most:
                self._sketches.popitem(last=False)
        self._sketches.move_to_end(scope)
        return found

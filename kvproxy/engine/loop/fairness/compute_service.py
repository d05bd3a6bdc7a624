"""Compute that each tenant had: whose turn it is is decided by who had less.

The counters are those of Sheng et al. 2024, "Fairness in Serving Large Language Models" (arXiv 2401.00588), in seconds
of the model's time instead of tokens: one who comes begins with the least that anybody here had, so that it owes
nothing and nothing is owed to it. What a tenant is owed is bounded as well: one that asked for little for an hour would
otherwise have the engine for itself when it asks for more.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from math import inf

MOST_OWED_S = 1.0
"""Seconds of compute that a tenant may be behind the one that had the most."""


class Service:
    """Engine thread only. Knows the tenants that are here, and forgets those that left."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def meet(self, tenants: Set[str]) -> None:
        """Those that have a sequence at this moment."""
        if not tenants:
            self._seconds.clear()
            return
        stayed = [s for t, s in self._seconds.items() if t in tenants]
        least = max(min(stayed), max(stayed) - MOST_OWED_S) if stayed else 0.0
        self._seconds = {t: max(self._seconds.get(t, least), least) for t in tenants}

    def charge(self, rows: Iterable[tuple[str | None, int]], seconds: float) -> None:
        """A tile took so long; ``rows``: how many of it each tenant had, which may be named several times."""
        counted = list(rows)
        total = sum(count for _, count in counted)
        for tenant, count in counted:
            if tenant is not None:
                self._seconds[tenant] = self._seconds.get(tenant, 0.0) + seconds * count / total

    def had(self, tenant: str | None) -> float:
        """Seconds, of use only beside others'. Work that is nobody's had more than anybody."""
        return inf if tenant is None else self._seconds.get(tenant, 0.0)

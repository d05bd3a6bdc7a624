"""Compute service: the model's seconds that each tenant used, by which tenants take turns.

The counters are those of Sheng et al. 2024, "Fairness in Serving Large Language Models" (arXiv 2401.00588), in seconds
of the model's time instead of tokens: a tenant that arrives begins with the least seconds of all present tenants, so
that it neither owes nor is owed any. The debt to a tenant is bounded as well: one with few requests for an hour would
otherwise have the engine for itself when it sends more.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from math import inf

MOST_OWED_S = 1.0
"""Seconds of compute that a tenant may be behind the one that used the most."""


class ComputeService:
    """Counts seconds of compute by tenant, for the tenants that are present. Engine thread only."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def set_tenants(self, tenants: Set[str]) -> None:
        """Keep the counters of ``tenants``, which have a sequence at this moment, and forget all others."""
        if not tenants:
            self._seconds.clear()
            return
        stayed = [s for t, s in self._seconds.items() if t in tenants]
        least = max(min(stayed), max(stayed) - MOST_OWED_S) if stayed else 0.0
        self._seconds = {t: max(self._seconds.get(t, least), least) for t in tenants}

    def charge(self, rows: Iterable[tuple[str | None, int]], seconds: float) -> None:
        """Divide a tile's ``seconds`` between tenants by their ``rows``: (tenant, count) pairs, a tenant may repeat.

        Example: ``service.charge([("a", 30), ("b", 2)], 0.04)``
        """
        counted = list(rows)
        total = sum(count for _, count in counted)
        for tenant, count in counted:
            if tenant is not None:
                self._seconds[tenant] = self._seconds.get(tenant, 0.0) + seconds * count / total

    def used_s(self, tenant: str | None) -> float:
        """Return a tenant's seconds, for comparison with other tenants' only. Work without a tenant (None) has inf."""
        return inf if tenant is None else self._seconds.get(tenant, 0.0)

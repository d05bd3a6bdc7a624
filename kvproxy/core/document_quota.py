"""`DocumentQuota`: the most that a tenant may have published at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DocumentQuota:
    """Limits of what a tenant has published now, over all its documents; None: no limit of that kind.

    Versions count that are served; learned ones do not.
    """

    versions: int | None = None
    bytes: int | None = None
    """Bytes of KV over all framings and spellings, as the engine holds it."""
    tokens: int | None = None
    """Tokens of the texts alone."""

    @property
    def empty(self) -> bool:
        """True when it limits nothing."""
        return self.versions is None and self.bytes is None and self.tokens is None


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """A tenant's published documents, summed, beside what it may have published."""

    versions: int
    bytes: int
    tokens: int
    quota: DocumentQuota


NO_QUOTA = DocumentQuota()

"""`UsageStore`: the durable sums of usage, as `UsageBook` needs them; and the rows that it adds to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from kvproxy.core import DocumentRef
from kvproxy.telemetry.usage.document_use import DocumentDay, DocumentUse
from kvproxy.telemetry.usage.usage_sums import NO_USAGE, UsageSums

EVERYBODY = ""
"""The tenant of sums over all tenants. No tenant has an empty name."""

DAY_S = 86_400


class UsageKey(NamedTuple):
    """Sums of a day are apart by these."""

    tenant: str
    day: int
    """Days since 1970-01-01, UTC."""
    model: str
    currency: str
    """Empty where nothing was priced."""


class DocumentKey(NamedTuple):
    """Uses of a document version in a day are apart by these."""

    name: str
    """``DocumentRef.name``."""
    version: int
    tenant: str
    """The reader."""
    day: int
    currency: str


@dataclass(frozen=True, slots=True)
class RecordedUsage:
    """The sums of one tenant that are recorded, by all processes, as they were read."""

    day: int
    today: UsageSums = NO_USAGE
    """Of ``day`` alone."""
    total: UsageSums = NO_USAGE


class UsageStore(Protocol):
    """Blocking: never called on the event loop."""

    def add(self, days: Mapping[UsageKey, UsageSums], documents: Mapping[DocumentKey, DocumentUse]) -> None:
        """Add to what is recorded, all or nothing. Where it raises, :meth:`landed` tells which of them."""

    def landed(self) -> bool:
        """Return whether what was added last is recorded: a commit may count whose answer was lost."""

    def recorded(self, tenant: str, today: int) -> RecordedUsage:
        """Return what is recorded of a tenant."""

    def document_uses(self, refs: Sequence[DocumentRef], tenant: str) -> dict[DocumentRef, DocumentUse]:
        """Return the recorded uses of versions by a reader; those without any are left out."""

    def document_days(self, ref: DocumentRef, tenant: str) -> list[DocumentDay]:
        """Return the recorded days of one version, oldest first."""

    def expire(self, today: int) -> None:
        """Delete days that have been kept long enough; the sums of all days stay."""

"""`DocumentQuotas`: the quotas of tenants, checked before anything is computed for a publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kvproxy.core import Caller
from kvproxy.core.document_quota import DocumentQuota, QuotaUse
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.published_usage import PublishedUsage
from kvproxy.errors import DocumentQuotaExceeded

QuotaOf = Callable[[str], DocumentQuota]
"""Returns a tenant's quota, by its name."""


class DocumentQuotas:
    """Quotas of all tenants. Event loop only.

    Example:
        ``with quotas.claim(caller, usage_of(prepared.tokenized, prepared.prefixes)): ...``
    """

    def __init__(self, library: Library, quota_of: QuotaOf, page_bytes: int) -> None:
        """``page_bytes``: bytes of a page's KV."""
        self._library, self._quota_of, self._page_bytes = library, quota_of, page_bytes
        self._claimed: dict[str, PublishedUsage] = {}

    def use(self, caller: Caller) -> QuotaUse:
        """Return what a tenant has published and may publish."""
        usage = self._library.usage(caller.scope)
        size = usage.pages * self._page_bytes
        return QuotaUse(usage.versions, size, usage.tokens, self._quota_of(caller.name))

    @contextmanager
    def claim(self, caller: Caller, more: PublishedUsage) -> Iterator[None]:
        """Count ``more`` as published while the block runs. Raises DocumentQuotaExceeded where it would be too much."""
        claimed = self._claimed.get(caller.scope, PublishedUsage())
        self._check(caller, self._library.usage(caller.scope) + claimed, more)
        self._claimed[caller.scope] = claimed + more
        try:
            yield
        finally:
            left = self._claimed[caller.scope] - more
            if left.versions:
                self._claimed[caller.scope] = left
            else:
                del self._claimed[caller.scope]

    def _check(self, caller: Caller, there: PublishedUsage, more: PublishedUsage) -> None:
        quota = self._quota_of(caller.name)
        for what, limit, has, wants in (
            ("versions", quota.versions, there.versions, more.versions),
            ("tokens", quota.tokens, there.tokens, more.tokens),
            ("bytes of KV", quota.bytes, there.pages * self._page_bytes, more.pages * self._page_bytes),
        ):
            if limit is not None and has + wants > limit:
                raise DocumentQuotaExceeded(
                    f"'{caller.name}' has {has:,} {what} published, this document would add {wants:,}, and its quota "
                    f"is {limit:,}. Delete what is not needed (`kvproxy docs usage`), or ask the proxy's operator."
                )

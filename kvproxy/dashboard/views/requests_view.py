"""`requests_shown`: the newest ended requests, without any text of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.telemetry.feed import FedEntry
from kvproxy.wire.service.served_requests import KvRequest

OUTCOMES = ("hit", "miss", "bypass", "refused", "left")


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One ended request."""

    id: str
    at: float
    tenant: str
    client: str
    endpoint: str
    model: str
    outcome: str
    why: str
    """The cause or reason of a miss, the code of a refusal."""
    document: str
    """Empty where there is none, and for another tenant's request: its id may be private."""
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    ttft_s: float | None
    total_s: float
    cost: str
    """With its currency; empty where nothing was charged, and for another tenant's request."""

    @property
    def cached_share(self) -> float | None:
        """The part of the prompt that was taken from kept pages, 0 to 1."""
        if self.cached_tokens is None or not self.prompt_tokens:
            return None
        return self.cached_tokens / self.prompt_tokens


@dataclass(frozen=True, slots=True)
class RequestsShown:
    """The newest requests, newest first."""

    rows: tuple[RequestRow, ...]
    everyone: bool
    """True: of all tenants, whose names are shown."""
    outcome: str
    """The only outcome that is shown; empty: all."""

    @property
    def summary(self) -> str:
        """A sentence for screen readers."""
        hits = sum(row.outcome == "hit" for row in self.rows)
        return f"{hits} of the newest {len(self.rows)} requests are hits."


def requests_shown(
    entries: Sequence[FedEntry[KvRequest]], scope: ViewScope, outcome: str, most: int
) -> RequestsShown:
    """Return the newest requests that the caller may see. ``entries``: oldest first, of one tenant or of all.

    Example: ``requests_shown(feed.everybodys(caller.scope, 500), scope, "miss", 50)``
    """
    wanted = (entry for entry in reversed(entries) if not outcome or entry.entry["outcome"] == outcome)
    rows = [_row(entry, own=entry.scope == scope.caller.scope) for entry in islice(wanted, most)]
    return RequestsShown(tuple(rows), scope.everyone, outcome)


def _row(entry: FedEntry[KvRequest], *, own: bool) -> RequestRow:
    served = entry.entry
    priced = own and "cost" in served
    return RequestRow(
        id=served["id"],
        at=served["at"],
        tenant=entry.tenant,
        client=served["client"],
        endpoint="playground"
        if served["endpoint"].startswith("/ui/playground")
        else served["endpoint"].removeprefix("/v1/"),
        model=served["model"] or "",
        outcome=served["outcome"],
        why=served["cause"] or served["reason"] or "",
        document=(served["document"] or "") if own else "",
        prompt_tokens=served["prompt_tokens"],
        cached_tokens=served["cached_tokens"],
        completion_tokens=served["completion_tokens"],
        ttft_s=served["ttft_s"],
        total_s=served["total_s"],
        cost=f"{served['cost']} {served['currency']}" if priced else "",
    )

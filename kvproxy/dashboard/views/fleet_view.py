"""`FleetView`: the replicas of one fleet, and the share of each document that each of them holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kvproxy.dashboard.views.row_pages import RowPage, page_of
from kvproxy.telemetry.fleet_series import FleetSeries, ReplicaSeries

COLUMNS = 20
"""Replicas of one page: a table of more columns is not read by anybody."""
SHADES = 10
"""Shades of a cell of the heat table, each a class of the style sheet: ``heat-0`` to ``heat-9``."""


@dataclass(frozen=True, slots=True)
class DocumentShares:
    """A document version at the replicas of one fleet."""

    document: str
    tokens: int
    """Of the framing that the replicas hold the most of."""
    held: Mapping[str, int]
    """By replica, the tokens of that framing that it holds from the first on, in whole blocks."""
    block_tokens: int = 1
    """Tokens of a block: what the last, partial one has is kept nowhere for sure."""


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One document at one replica."""

    share: float
    """0 to 1."""
    shade: int
    """0 where it holds nothing, SHADES - 1 where it holds all."""


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One document at all replicas of the page."""

    document: str
    tokens: int
    cells: tuple[HeatCell, ...]


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """One replica in words and numbers."""

    series: ReplicaSeries
    state: str
    """Its health in a word."""
    reason: str
    """Why it is not used, in a few words; empty while it is."""
    hit_share: float | None
    """The part of its prompts' tokens that it took from its cache; None before its first answer."""
    resident_tokens: int


@dataclass(frozen=True, slots=True)
class FleetView:
    """One fleet."""

    fleet: str
    replicas: RowPage[ReplicaRow]
    up: int
    total: int
    heat: tuple[HeatRow, ...]
    """By document, in the order that was given."""
    hit_share: float | None
    retries: int
    broken_streams: int
    warm_queue: int


def fleet_view(
    series: FleetSeries, documents: Sequence[DocumentShares], query: Mapping[str, str]
) -> FleetView:
    """Return what the view of a fleet shows; ``?replicas=…`` is the first replica of its page.

    Example: ``fleet_view(series, shares, request.query)``
    """
    page = page_of([_replica(one) for one in series.replicas], query, param="replicas", rows=COLUMNS)
    names = [row.series.replica for row in page.rows]
    return FleetView(
        series.fleet,
        page,
        sum(one.up for one in series.replicas),
        len(series.replicas),
        tuple(_heat(document, names) for document in documents),
        _share(
            sum(one.cached_tokens for one in series.replicas),
            sum(one.prompt_tokens for one in series.replicas),
        ),
        sum(series.retries.values()),
        series.counts.get("broken_streams", 0),
        series.gauges.get("warm_queue", 0),
    )


def shade_of(share: float) -> int:
    """Return the shade of a share of 0 to 1: 0 for nothing alone, the last for all alone."""
    if share <= 0:
        return 0
    return SHADES - 1 if share >= 1 else 1 + int(share * (SHADES - 2))


def _replica(one: ReplicaSeries) -> ReplicaRow:
    state, _, reason = one.state.partition(": ")
    return ReplicaRow(
        one,
        state or ("up" if one.up else "down"),
        reason,
        _share(one.cached_tokens, one.prompt_tokens),
        sum(one.resident_tokens.values()),
    )


def _heat(document: DocumentShares, replicas: Sequence[str]) -> HeatRow:
    whole = document.tokens // document.block_tokens * document.block_tokens or document.tokens
    shares = [min(1.0, document.held.get(name, 0) / max(1, whole)) for name in replicas]
    cells = tuple(HeatCell(share, shade_of(share)) for share in shares)
    return HeatRow(document.document, document.tokens, cells)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None

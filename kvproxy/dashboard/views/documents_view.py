"""`DocumentsView` and `DocumentView`: the list of documents and one of them, as their templates show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args
from urllib.parse import quote, urlencode

from kvproxy.catalog.catalog_notes import LastCheck
from kvproxy.core import Visibility, format_nano
from kvproxy.dashboard.chart_table import ChartSeries, ChartTable, chart_rows
from kvproxy.dashboard.shown_values import count, short_money
from kvproxy.dashboard.table_order import TableOrder
from kvproxy.dashboard.views.paste_lines import PasteLines
from kvproxy.documents.library.document_info import DocumentInfo, FramingInfo
from kvproxy.documents.library.document_listing import ListingQuery
from kvproxy.documents.library.listed_rows import ListingOrder
from kvproxy.documents.library.withdrawn_documents import Withdrawal
from kvproxy.telemetry.usage.document_use import DocumentDay, DocumentUse

ROWS = 50
SORTS: Mapping[str, ListingOrder] = {
    "id": "id",
    "tokens": "tokens",
    "reads": "reads",
    "last": "last_read",
    "saved": "saved",
    "created": "created",
}
"""The columns that sort, by their names in the query, and the listing's orders."""

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class HeldPart:
    """The part of a document's tokens that a tier holds."""

    tier: str
    tokens: int


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """One document of the list, as the version that its id alone means."""

    info: DocumentInfo
    href: str
    own: bool
    held: tuple[HeldPart, ...]
    """Of its best framing; empty where nothing is held."""
    replicas: int
    use: DocumentUse
    """By the caller; of its own documents by everybody."""
    saved_money: tuple[str, ...]
    price: str
    check: LastCheck | None


@dataclass(frozen=True, slots=True)
class DocumentsView:
    """The list."""

    rows: tuple[DocumentRow, ...]
    order: TableOrder
    query: ListingQuery
    found: int
    visible: int
    may_publish: bool
    priced: bool
    checked: bool
    most_text: int
    """Bytes of a form."""

    @property
    def first(self) -> int:
        """The number of the first row, from 1."""
        return self.query.start + 1 if self.rows else 0

    @property
    def last(self) -> int:
        """The number of the last row."""
        return self.query.start + len(self.rows)

    @property
    def before(self) -> str:
        """The query of the rows before; empty for the first ones."""
        return self._part(max(0, self.query.start - ROWS)) if self.query.start else ""

    @property
    def after(self) -> str:
        """The query of the rows behind; empty for the last ones."""
        return self._part(self.query.start + ROWS) if self.last < self.found else ""

    @property
    def narrowed(self) -> bool:
        """True where a filter is set."""
        return bool(self.query.search or self.query.visibility or self.query.own)

    def _part(self, start: int) -> str:
        kept = {name: value for name, value in self.order.kept.items() if name != "start"}
        order = {"sort": self.order.by, "order": "desc" if self.order.descending else "asc"}
        return urlencode({**kept, **order, **({"start": str(start)} if start else {})})


@dataclass(frozen=True, slots=True)
class DocumentView:
    """One version of a document."""

    row: DocumentRow
    versions: tuple[DocumentInfo, ...]
    """All that the caller may see, newest first."""
    withdrawn: tuple[Withdrawal, ...]
    pasted: Sequence[PasteLines]
    chart: ChartTable
    confirm: str
    """``revoke`` or ``delete`` where that is asked to be confirmed."""
    named: str
    """The reference that actions are sent to."""
    may_change: bool
    names_replicas: bool
    fleet: bool
    """True where replicas keep its KV: their sizes and times are not known, and their bits cannot be compared."""
    excerpt: str = ""
    """The beginning of the text, where the caller may fetch it."""
    models: Sequence[tuple[str, int]] = field(default_factory=tuple)
    """Further served models, with the tokens that their replicas hold of it at most."""

    @property
    def asked(self) -> bool:
        """True where any day of the chart has a request."""
        return any(cell.value for row in self.chart.rows for cell in row.cells)

    @property
    def hit_share(self) -> float | None:
        """Reads from kept pages among all requests with the document."""
        use = self.row.use
        asked = use.reads + use.misses
        return use.reads / asked if asked else None

    @property
    def speedup(self) -> float | None:
        """Seconds to compute it over seconds to load it from disk, as measured here; None where one is unknown."""
        framing = best_framing(self.row.info)
        if self.fleet or framing is None or framing.load_s <= 0 or framing.compute_s <= 0:
            return None
        return framing.compute_s / framing.load_s


def document_path(id: str, version: int | None = None) -> str:
    """Return the path of a document's view.

    Example: ``document_path("team/handbook", 3) == "/ui/documents/team/handbook@3"``
    """
    # Ids of earlier versions may have `..` or `//`, which only arrive with their slashes quoted.
    whole = id if ".." not in id and "//" not in id else id.replace("/", "\0")
    named = quote(whole, safe="/._-").replace("%00", "%2F")
    return f"/ui/documents/{named}" + ("" if version is None else f"@{version}")


def listing_query(query: Mapping[str, str], order: TableOrder) -> ListingQuery:
    """Return what a list's query asks for; unknown values ask for nothing.

    Example: ``listing_query({"q": "hand", "start": "50"}, order)``
    """
    start = query.get("start", "")
    visibility = {one: one for one in get_args(Visibility)}.get(query.get("visibility", ""))
    return ListingQuery(
        search=query.get("q", "").strip()[:128],
        visibility=visibility,
        own=query.get("own") == "1",
        by=SORTS[order.by],
        descending=order.descending,
        start=int(start) if start.isascii() and start.isdigit() and len(start) < 9 else 0,
        most=ROWS,
    )


def document_row(
    info: DocumentInfo, use: DocumentUse, *, own: bool, price: str, check: LastCheck | None
) -> DocumentRow:
    """Return the row of a document. ``use``: by everybody for the caller's own documents, else by the caller.

    Example: ``document_row(info, uses[ref], own=True, price="free", check=None)``
    """
    framing = best_framing(info)
    return DocumentRow(
        info=info,
        href=document_path(info.id),
        own=own,
        held=() if framing is None else _held(framing),
        replicas=0 if framing is None else len(framing.replicas),
        use=use,
        saved_money=tuple(
            short_money(nano, currency) for currency, nano in sorted(use.saved.items()) if nano
        ),
        price=price,
        check=check,
    )


def best_framing(info: DocumentInfo) -> FramingInfo | None:
    """Return the framing of which most is held."""
    return max(info.framings, key=lambda framing: framing.resident_tokens, default=None)


def price_text(kind: str, share: str, nano_per_1000: int, currency: str) -> str:
    """Return a publisher's price in a few words.

    Example: ``price_text("fixed", "", 20_000_000, "USD") == "0.02 USD per 1,000 tokens"``
    """
    if kind == "share":
        return f"{share} of what is saved"
    if kind == "fixed":
        return f"{format_nano(nano_per_1000)} {currency} per 1,000 tokens"
    return "free"


def reads_chart(days: Sequence[DocumentDay], now: float) -> ChartTable:
    """Return the reads and misses of each day, from the first that is known to today; at most 90 days.

    Example: ``reads_chart(await usage.document_days(ref, None), time.time())``
    """
    today = int(now // DAY_S)
    known = {one.day: one.use for one in days if one.day > today - 90}
    first = min([*known, today - 6])
    series = (ChartSeries("Read from kept KV", 1, count), ChartSeries("Computed (misses)", 2, count))
    nothing = DocumentUse()
    values = [
        (float(day * DAY_S), (known.get(day, nothing).reads, known.get(day, nothing).misses))
        for day in range(first, today + 1)
    ]
    return ChartTable("Reads by day (UTC)", "bars", "count", series, chart_rows(series, values))


def _held(framing: FramingInfo) -> tuple[HeldPart, ...]:
    if framing.replicas:
        most = max(held.tokens for held in framing.replicas)
        return (HeldPart("replicas", most),)
    tiers = (
        HeldPart("memory", framing.tiers.memory),
        HeldPart("disk", framing.tiers.disk),
        HeldPart("objects", framing.tiers.objects),
    )
    return tuple(part for part in tiers if part.tokens)

from __future__ import annotations

from kvproxy.core.pages import Residency
from kvproxy.core.replica_choice import ReplicaResidency
from kvproxy.dashboard.table_order import TableOrder
from kvproxy.dashboard.views.documents_view import (
    SORTS,
    DocumentsView,
    HeldPart,
    document_path,
    document_row,
    listing_query,
    price_text,
    reads_chart,
)
from kvproxy.documents.library.document_info import DocumentInfo, FramingInfo
from kvproxy.documents.library.document_listing import ListingQuery
from kvproxy.telemetry.usage.document_use import DocumentDay, DocumentUse


def info(*framings: FramingInfo) -> DocumentInfo:
    return DocumentInfo("handbook", 3, True, "e" * 64, "public", 4000, 900, 1_700_000_000, framings)


def view(start: int, shown: int, found: int) -> DocumentsView:
    order = TableOrder("tokens", True, {"q": "hand", "start": str(start)})
    rows = tuple(document_row(info(), DocumentUse(), own=False, price="", check=None) for _ in range(shown))
    query = ListingQuery("hand", by="tokens", descending=True, start=start)
    return DocumentsView(rows, order, query, found, found, False, False, False, 1)


def test_a_row_tells_the_tiers_of_the_framing_of_which_most_is_held() -> None:
    poor = FramingInfo("user", 910, 256, 1, Residency(memory=256))
    rich = FramingInfo("system", 905, 905, 1, Residency(memory=512, disk=393))
    row = document_row(
        info(poor, rich), DocumentUse(saved={"USD": 12_000_000}), own=True, price="free", check=None
    )
    assert row.held == (HeldPart("memory", 512), HeldPart("disk", 393))
    assert row.saved_money == ("0.012 USD",)
    assert document_row(info(), DocumentUse(), own=True, price="", check=None).held == ()


def test_of_a_fleet_the_replica_that_holds_most_is_told_and_no_name() -> None:
    held = (ReplicaResidency("10.0.0.1:8000", 512), ReplicaResidency("10.0.0.2:8000", 896))
    row = document_row(
        info(FramingInfo("system", 905, 896, 0, replicas=held)), DocumentUse(), own=True, price="", check=None
    )
    assert row.held == (HeldPart("replicas", 896),) and row.replicas == 2


def test_links_to_other_parts_keep_the_search_and_the_order() -> None:
    assert (view(0, 50, 120).before, view(100, 20, 120).after) == ("", "")
    assert view(0, 50, 120).after == "q=hand&sort=tokens&order=desc&start=50"
    assert view(50, 50, 120).before == "q=hand&sort=tokens&order=desc"
    assert (view(50, 50, 120).first, view(50, 50, 120).last) == (51, 100)


def test_a_query_with_unknown_values_asks_for_nothing() -> None:
    order = TableOrder.asked({"sort": "secrets"}, SORTS, default="id")
    asked = listing_query({"visibility": "everything", "start": "-5", "own": "yes", "q": "x" * 999}, order)
    assert asked == ListingQuery("x" * 128)
    assert listing_query({"visibility": "granted", "start": "100", "own": "1"}, order).start == 100


def test_paths_of_ids_that_clients_would_normalise_keep_their_slashes_quoted() -> None:
    assert document_path("team/handbook", 3) == "/ui/documents/team/handbook@3"
    assert document_path("a/../b") == "/ui/documents/a%2F..%2Fb"
    assert document_path("a//b", 1) == "/ui/documents/a%2F%2Fb@1"


def test_prices_in_words() -> None:
    assert price_text("free", "0%", 0, "USD") == "free"
    assert price_text("share", "25%", 0, "USD") == "25% of what is saved"
    assert price_text("fixed", "0%", 20_000_000, "USD") == "0.02 USD per 1,000 tokens"


def test_the_chart_has_every_day_to_today_those_without_a_read_too() -> None:
    today = 20_000
    days = [
        DocumentDay(today - 9, DocumentUse(reads=4, misses=1)),
        DocumentDay(today - 300, DocumentUse(reads=7)),
    ]
    chart = reads_chart(days, today * 86_400.0 + 5)
    assert len(chart.rows) == 10 and chart.rows[0].at == (today - 9) * 86_400.0
    assert [cell.value for cell in chart.rows[0].cells] == [4, 1]
    assert all(cell.value == 0 for row in chart.rows[1:] for cell in row.cells)
    assert len(reads_chart([], today * 86_400.0).rows) == 7

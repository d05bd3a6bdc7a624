"""The handler of the view of publishers: reads, income and balance, for an admin those of every publisher."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiohttp import web

from kvproxy.dashboard.views.publishers_view import (
    PublishersView,
    document_rows,
    publisher_rows,
    publishers_view,
)
from kvproxy.errors import InvalidRequest, RouteNotFound
from kvproxy.ledger.ledger import Ledger
from kvproxy.ledger.ledger_reading import Aggregate, AggregateBy, AggregateQuery
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.dashboard.dashboard_answer import scope_of, view_answer
from kvproxy.server.dashboard.document_figures import has_prices
from kvproxy.server.dashboard.named_documents import naming
from kvproxy.server.middleware.wrong_url import root_of
from kvproxy.server.requests.asked_tenant import tenant_asked
from kvproxy.server.requests.market_access import market_of
from kvproxy.wire.market.periods import parse_moment

DAYS = 30
"""Days of the period that is shown where none is asked for, today included."""


async def publishers(request: web.Request) -> web.StreamResponse:
    """Show the income of the caller, or of the publisher that an admin asks for (``?publisher=…``)."""
    priced = has_prices(request.app[COMPONENTS].market)
    shown = {"publishers": await _view(request), "host_url": root_of(request), "priced": priced}
    return view_answer(request, "publishers.html", shown)


async def _view(request: web.Request) -> PublishersView:
    market, scope, query = market_of(request), scope_of(request), request.query
    ledger = market.ledger
    if ledger is None:
        raise RouteNotFound("This proxy has no ledger: it has no tariff, and reads cost nothing.")
    asked = tenant_asked(request, query.get("publisher") or None)
    since, until = period_of(query.get("from", ""), query.get("to", ""))
    own = asked.name == request[CALLER].name
    library = request.app[COMPONENTS].publisher.library
    may_name = (lambda name: True) if own else naming(library, request[CALLER], asked.scope)
    return publishers_view(
        asked.name,
        ledger.currency,
        await ledger.balance(asked.name),
        (since, until),
        documents=document_rows(await _sums(ledger, "document", asked.name, since, until), may_name),
        days=publisher_rows(await _sums(ledger, "day", asked.name, since, until)),
        publishers=publisher_rows(await _sums(ledger, "publisher", None, since, until))
        if scope.everyone
        else None,
        query=query,
    )


def period_of(since: str, until: str) -> tuple[str, str]:
    """Return the first day of a period and the day that it ends before, both of UTC; for empty texts the last DAYS.
    Raises InvalidRequest for what is no day, and where there is none between them.

    Example: ``period_of("2026-11-01", "2026-12-01")``
    """
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    first, end = since or (tomorrow - timedelta(days=DAYS)).isoformat(), until or tomorrow.isoformat()
    period = _day(first, "from"), _day(end, "to")
    if period[1] <= period[0]:
        raise InvalidRequest("The period ends before it begins: choose a later day in 'Before'.", param="to")
    return period


def _day(text: str, param: str) -> str:
    return datetime.fromtimestamp(parse_moment(text, param=param), UTC).date().isoformat()


async def _sums(
    ledger: Ledger, by: AggregateBy, publisher: str | None, since: str, until: str
) -> list[Aggregate]:
    return await ledger.aggregate(
        AggregateQuery(
            by=by,
            publisher=publisher,
            since_ms=parse_moment(since, param="from") * 1000,
            until_ms=parse_moment(until, param="to") * 1000,
        )
    )

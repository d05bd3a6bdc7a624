"""`service_figures`: the state of an open stack as ``/metrics`` shows it."""

from __future__ import annotations

from kvproxy.stack.open_stack import Stack
from kvproxy.telemetry.service_figures import ServiceFigures


def service_figures(stack: Stack) -> ServiceFigures:
    """Return the state now. Example: ``metrics.follow_service(lambda: service_figures(stack))``."""
    ledger = stack.market.ledger
    return ServiceFigures(stack.ready() is None, ledger.away, ledger.backlog)

"""The scope of figures: the tenant whose figures a request asks for, and whether its caller may see the engine's."""

from __future__ import annotations

from aiohttp import web

from kvproxy.core import Caller
from kvproxy.server.auth import require
from kvproxy.server.components import CALLER, Components
from kvproxy.server.requests.asked_tenant import tenant_asked
from kvproxy.telemetry.metrics import Figures

EVERY_TENANT = "all"
"""The value of ``tenant`` for the sums of all tenants."""


def figures_of(request: web.Request) -> Caller | None:
    """Return the tenant that ``tenant`` names: the caller where it is left out, None for all tenants together.

    Every tenant but the caller is for admins alone. Raises PermissionDenied, AccountNotFound, InvalidRequest.
    """
    asked = request.query.get("tenant")
    if asked != EVERY_TENANT:
        return tenant_asked(request, asked)
    require(request[CALLER], "admin")
    return None


def shown_figures(components: Components, caller: Caller) -> Figures | None:
    """Return the engine's figures where the caller may see them: admins, and whoever may read ``/metrics`` with the
    same key. They are of all tenants together; None for everybody else.

    Example: ``engine = shown_figures(request.app[COMPONENTS], request[CALLER])``
    """
    if components.figures is None:
        return None
    by_key = components.show_metrics and components.metrics_key is None and "metrics" in caller.permissions
    return components.figures() if by_key or "admin" in caller.permissions else None

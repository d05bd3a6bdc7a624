"""`tenant_asked`: the tenant that a request is about: the caller, or another one for an admin."""

from __future__ import annotations

from aiohttp import web

from kvproxy.core import Caller
from kvproxy.errors import InvalidRequest
from kvproxy.server.auth import require
from kvproxy.server.components import CALLER, COMPONENTS


def tenant_asked(request: web.Request, tenant: str | None) -> Caller:
    """Return the caller, or the tenant that an admin asks about. Raises PermissionDenied, AccountNotFound."""
    caller = request[CALLER]
    if tenant is None or tenant == caller.name:
        return caller
    require(caller, "admin")
    market = request.app[COMPONENTS].market
    if market is None or market.accounts is None:
        raise InvalidRequest("This proxy has no tenants; leave 'tenant' out.", param="tenant")
    found = market.accounts.tenant(tenant)
    return Caller(found.id, found.scope)

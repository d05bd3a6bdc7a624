"""`names_replicas`: whether a caller is told the names of a fleet's replicas."""

from __future__ import annotations

from aiohttp import web

from kvproxy.server.components import CALLER


def names_replicas(request: web.Request) -> bool:
    """Return whether the caller sees replicas by name: an administrator, or anybody where there are no API keys.

    A name is a host and a port unless the operator gave another one, and tells a tenant which readers it shares a
    machine with: others see what is held, and not where.
    """
    return "admin" in request[CALLER].permissions

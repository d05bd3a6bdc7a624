"""The target that a request is addressed to, before its path means anything."""

from __future__ import annotations

import re

from aiohttp import web

from kvproxy.errors import InvalidRequest

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Za-z:.%_-]{2,100}\])?(?::[0-9]{1,5})?")


def check_target(request: web.Request) -> None:
    """Raises InvalidRequest. Nothing is cleaned up here: a path with ``..`` or ``//`` names just what it says, or
    nothing at all."""
    if _HOST.fullmatch(request.headers.get("Host", "")) is None:
        raise InvalidRequest("The Host header is not a host, or a host and a port.")
    # aiohttp takes what follows for a fragment, and would go on with what comes before.
    if "#" in request.raw_path:
        raise InvalidRequest("The URL has a '#'. Write it as %23 where it belongs to a name.")

"""Checks of a request's target, before its path is interpreted."""

from __future__ import annotations

import re

from aiohttp import web

from kvproxy.errors import InvalidRequest

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Za-z:.%_-]{2,100}\])?(?::[0-9]{1,5})?")


def check_target(request: web.Request) -> None:
    """Check the Host header and the URL. Raises InvalidRequest.

    Paths are not normalised: one with ``..`` or ``//`` is served as written, or not found.
    """
    if _HOST.fullmatch(request.headers.get("Host", "")) is None:
        raise InvalidRequest("The Host header is not a host, or a host and a port. Send one of these.")
    # aiohttp reads the rest as a fragment, and would serve the part before it.
    if "#" in request.raw_path:
        raise InvalidRequest("The URL has a '#'. Write it as %23 where it belongs to a name.")

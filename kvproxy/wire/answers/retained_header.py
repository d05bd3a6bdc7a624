"""``x-kvproxy-retained``: the response header with the answer to a session's wish about its pages."""

from __future__ import annotations

from collections.abc import Mapping

from kvproxy.core.session_hints import Retained

RETAINED = "x-kvproxy-retained"


def retained_header(retained: Retained | None) -> Mapping[str, str]:
    """Return header name to value, an integer with parameters (RFC 8941): ``300; asked=14; pages=12``, or for a
    release ``0; released=12``. Empty where nothing was asked for."""
    if retained is None:
        return {}
    if not retained.seconds:
        return {RETAINED: f"0; released={retained.released}"}
    return {RETAINED: f"{int(retained.seconds)}; asked={retained.asked}; pages={retained.pages}"}

"""Times in queries and on the command line: Unix seconds, or a day or moment of UTC in ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime

from kvproxy.errors import InvalidRequest

MOST_S = 2**33
"""The latest time: in the year 2242."""


def parse_moment(text: str, *, param: str) -> int:
    """Return Unix seconds. Raises InvalidRequest.

    Example:
        ``parse_moment("2026-11-29", param="from")`` is midnight of that day, UTC.
    """
    try:
        if text.isascii() and text.isdigit() and len(text) <= 10:
            moment = int(text)
        else:
            when = datetime.fromisoformat(text)
            moment = int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError, OSError) as e:
        raise InvalidRequest(_wrong(param), param=param) from e
    if not 0 <= moment <= MOST_S:
        raise InvalidRequest(_wrong(param), param=param)
    return moment


def _wrong(param: str) -> str:
    return f"Invalid '{param}': must be Unix seconds, or a time like 2026-11-29 or 2026-11-29T21:40:00Z."

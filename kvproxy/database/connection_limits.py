"""`limited`: the options by which a connection to PostgreSQL notices within seconds that nobody is there."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import URL

_LIBPQ = ("psycopg", "psycopg2")
_LIMITS: Mapping[str, str | int] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""libpq's own: seconds, and milliseconds for the last. Without them a machine that has lost its power or its network is
noticed after minutes, by each thread that asks it, and every 503 comes as late."""


def limited(url: URL, name: str) -> dict[str, str | int]:
    """Return the options of a connection that ``url`` leaves open, its name for ``pg_stat_activity`` among them; none
    for a driver that is not libpq's.

    Example:
        ``create_engine(url, connect_args=limited(url, "kvproxy"))``
    """
    if url.get_driver_name() not in _LIBPQ:
        return {}
    options = {**_LIMITS, "application_name": name}
    return {option: value for option, value in options.items() if option not in url.query}

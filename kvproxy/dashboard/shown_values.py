"""Numbers, times and amounts as the views show them: pure functions, and the filters of the templates made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from kvproxy.core import format_nano

NOTHING = "\N{EN DASH}"
"""Shown where a value is not known; screen readers get words beside it."""

_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float | None) -> str:
    """Return a whole number with thousands apart: ``12,345``."""
    return NOTHING if value is None else f"{round(value):,}"


def short_count(value: float | None) -> str:
    """Return a number in at most five characters: ``12.3k``, ``4.56M``."""
    if value is None:
        return NOTHING
    for size, letter in _STEPS:
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:.{2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0}f}{letter}"
    return f"{round(value):,}"


def share(value: float | None) -> str:
    """Return a share of 0 to 1 as per cent: ``81.4 %``; never 100 or 0 where something is left."""
    if value is None:
        return NOTHING
    percent = value * 100
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def seconds(value: float | None) -> str:
    """Return a duration in the unit that suits it: ``840 µs``, ``12.3 ms``, ``4.56 s``, ``3 min 20 s``."""
    if value is None:
        return NOTHING
    if value < 0.001:
        return f"{value * 1e6:.0f} µs" if value > 0 else "0 s"
    if value < 1:
        ms = value * 1e3
        return f"{ms:.{2 if ms < 10 else 1 if ms < 100 else 0}f} ms"
    if value < 60:
        return f"{value:.{2 if value < 10 else 1}f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400:,} d {whole % 86400 // 3600} h"


def ratio(value: float | None) -> str:
    """Return how many times one value is another: ``7.3``, ``129``, ``1,204``."""
    return NOTHING if value is None else f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def byte_size(value: float | None) -> str:
    """Return a number of bytes with a binary unit: ``1.5 GiB``."""
    if value is None:
        return NOTHING
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.{1 if value < 100 else 0}f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"


def money(nano: int | None, currency: str) -> str:
    """Return an amount with its currency, all digits that count and at least two: ``0.000123 USD``.

    Example: ``money(1_500_000_000, "USD") == "1.50 USD"``
    """
    if nano is None:
        return NOTHING
    whole, _, digits = format_nano(nano).partition(".")
    return f"{whole}.{digits.ljust(2, '0')} {currency}"


def short_money(nano: int | None, currency: str) -> str:
    """Return about an amount, in three digits that count or whole hundredths: ``0.00692 USD``, ``1234.57 USD``.

    For sums that are estimates; what somebody pays is shown by :func:`money`.
    Example: ``short_money(6_916_680, "USD") == "0.00692 USD"``
    """
    if not nano:
        return money(nano, currency)
    first = len(str(abs(nano))) - 1
    step = 10 ** min(7, max(0, first - 2))
    return money((abs(nano) + step // 2) // step * step * (1 if nano > 0 else -1), currency)


def clock_time(unix: float | None) -> str:
    """Return a moment as UTC hours, minutes and seconds: ``14:03:59``."""
    return NOTHING if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%H:%M:%S")


def full_time(unix: float | None) -> str:
    """Return a moment as UTC date and time: ``2026-12-01 14:03:59 UTC``."""
    return NOTHING if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso_time(unix: float) -> str:
    """Return a moment for the attribute ``datetime`` of a ``time`` element."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(unix: float | None) -> str:
    """Return a moment as its UTC date: ``2026-12-01``."""
    return NOTHING if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d")


FILTERS: Mapping[str, Callable[..., Any]] = {
    "count": count,
    "short_count": short_count,
    "share": share,
    "seconds": seconds,
    "byte_size": byte_size,
    "ratio": ratio,
    "money": money,
    "short_money": short_money,
    "clock_time": clock_time,
    "day": day,
    "full_time": full_time,
    "iso_time": iso_time,
}
"""``{{ tokens | short_count }}``; jinja's own ``count`` (an alias of ``length``) is replaced."""

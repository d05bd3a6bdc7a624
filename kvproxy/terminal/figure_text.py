"""Figures as short text: counts, shares, times, amounts, and a row of bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_BARS = " ▁▂▃▄▅▆▇█"


def count_text(number: int) -> str:
    """Return a count with separators: ``3,201,233``."""
    return f"{number:,}"


def share_text(share: float | None) -> str:
    """Return a share of 0 to 1 in per cent; ``-`` for None. ``share_text(0.834)`` is ``83 %``."""
    return "-" if share is None else f"{100 * share:.0f} %"


def time_text(seconds: float | None) -> str:
    """Return a time to the first token: ``21 ms``, ``1.20 s``, ``95 s``; ``-`` for None."""
    if seconds is None:
        return "-"
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.0f} s"


def span_text(seconds: float) -> str:
    """Return a length of time in two units at most: ``22.5 s``, ``26 min 40 s``, ``3 h 12 min``, ``4 d 2 h``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, below, small in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size:,} {unit} {whole % size // small} {below}"
    return f"{whole} s"


def size_text(size: int) -> str:
    """Return bytes in the largest unit that leaves one before the point: ``1.4 GiB``."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def money_text(amounts: Sequence[dict[str, Any]]) -> str:
    """Return amounts as the proxy sends them, four decimals at most where there are whole units; ``-`` for none."""
    return ", ".join(f"{_amount(one)} {one['currency']}" for one in amounts) or "-"


def _amount(money: dict[str, Any]) -> str:
    units = money["nano"] / 1e9
    return f"{units:,.2f}" if abs(units) >= 1 else str(money["amount"])


def bars(values: Sequence[float], width: int) -> str:
    """Return the last ``width`` values as a row of bars, the highest one full. ``bars([0, 1, 2], 3)`` is ``" ▄█"``."""
    shown = values[-width:]
    highest = max(shown, default=0) or 1
    return "".join(_BARS[_height(value / highest)] for value in shown)


def _height(part: float) -> int:
    """Return the bar of a part of 0 to 1; anything above nothing has one."""
    return 0 if part <= 0 else max(1, round(part * (len(_BARS) - 1)))

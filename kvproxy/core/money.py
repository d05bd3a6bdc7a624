"""`Money`: whole nano-units of one currency, read from decimal text and written as it. No floats near money."""

from __future__ import annotations

import re
from dataclasses import dataclass

NANO = 10**9
"""Nano-units of one unit of a currency."""

MOST_NANO = 2**62
"""The largest amount that is stored: some 4.6 thousand million units."""

_DECIMAL = re.compile(r"(-?)([0-9]{1,10})(?:\.([0-9]{1,9}))?")
_CURRENCY = re.compile(r"[A-Z][A-Z0-9]{2,7}")


def parse_nano(text: str | int) -> int:
    """Return the nano-units of a decimal amount, written as text or as a whole number of units.

    Raises ValueError for anything else, for more than nine decimals, and out of range.

    Example:
        ``parse_nano("0.000377")`` is 377,000.
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError('write an amount as text, like "0.05": a binary fraction is not exact')
    match = _DECIMAL.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"'{str(text)[:40]}' is no amount: up to ten digits, then up to nine decimals")
    nano = int(match[2]) * NANO + int((match[3] or "").ljust(9, "0"))
    if nano > MOST_NANO:
        raise ValueError(f"'{str(text)[:40]}' is out of range: at most {format_nano(MOST_NANO)}")
    return -nano if match[1] else nano


def format_nano(nano: int) -> str:
    """Write nano-units as a decimal without superfluous zeros: 377,000 is ``0.000377``."""
    units, rest = divmod(abs(nano), NANO)
    text = f"{units}.{rest:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if nano < 0 else text


def checked_currency(code: str) -> str:
    """Return a currency's code unchanged. Raises ValueError unless it is 3 to 8 capital letters and digits."""
    if _CURRENCY.fullmatch(code) is None:
        raise ValueError(f"'{code[:40]}' is no currency: write a code of 3 to 8 capitals, like USD or USDC")
    return code


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one currency."""

    nano: int
    currency: str

    def __str__(self) -> str:
        return f"{format_nano(self.nano)} {self.currency}"

"""Publishers' prices as text: ``free``, ``40%`` of what a read saves, ``0.002`` for a thousand tokens; and percents."""

from __future__ import annotations

import re

from kvproxy.core import parse_nano
from kvproxy.tariffs.document_terms import MILLION, DocumentTerms, TextReaders

_PERCENT = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?\s*%")


def parse_percent(text: str, most: int = MILLION) -> int:
    """Return a percentage with up to four decimals in millionths, from 0 to ``most``: ``12.5%`` is 125,000.

    Raises ValueError for any other text.
    """
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text[:40]}' is no percentage: write one like 40% or 12.5%")
    ppm = int(match[1]) * 10_000 + int((match[2] or "").ljust(4, "0"))
    if ppm > most:
        raise ValueError(f"'{text[:40]}' is more than {format_percent(most)}")
    return ppm


def format_percent(ppm: int) -> str:
    """Write millionths as a percentage: 125,000 is ``12.5%``."""
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + "%"


def parse_terms(
    price: str, publisher_ppm: int = MILLION, text_readers: TextReaders = "discount"
) -> DocumentTerms:
    """Read a publisher's price: ``free``, a share of the saving like ``40%``, or the amount for a thousand tokens.

    Raises ValueError for any other text.

    Example:
        ``parse_terms("0.002", publisher_ppm=800_000)``
    """
    text = price.strip()
    share = nano = 0
    if text.endswith("%"):
        share = parse_percent(text)
    elif text != "free":
        try:
            nano = parse_nano(text)
        except ValueError as e:
            raise ValueError(
                f"'{text[:40]}' is no price of a document: write free, a share of the saving like 40%, or an amount "
                "for a thousand tokens like 0.002"
            ) from e
    return DocumentTerms(
        kind="share" if share else "fixed" if nano else "free",
        share_ppm=share,
        nano_per_1000=nano,
        publisher_ppm=publisher_ppm,
        text_readers=text_readers,
    )

"""`DocumentTerms`: what a publisher asks for a read of its document, and who gets the discount."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, get_args

from kvproxy.tariffs.model_prices import checked_price, digest

TermsKind = Literal["free", "share", "fixed"]
TextReaders = Literal["discount", "full_price"]

MILLION = 10**6


@dataclass(frozen=True, kw_only=True)
class DocumentTerms:
    """The publisher's own price, on top of the host's price of a cached token. Raises ValueError for a wrong one.

    Example:
        ``DocumentTerms(kind="share", share_ppm=300_000)`` asks for 30% of what a read saves.
    """

    kind: TermsKind = "free"
    share_ppm: int = 0
    """``share``: the part of the saving, in millionths. The saving of a token is ``input - cached_input``."""
    nano_per_1000: int = 0
    """``fixed``: nano-units for a thousand tokens of the document."""
    publisher_ppm: int = MILLION
    """The publisher's part of this price, in millionths; the host has the rest."""
    text_readers: TextReaders = "discount"
    """``full_price``: who sends the text himself, without a grant, pays as for a cold read, and the publisher's price
    is the whole saving."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(TermsKind):
            raise ValueError(f"kind is '{str(self.kind)[:40]}'; write free, share or fixed")
        if self.text_readers not in get_args(TextReaders):
            raise ValueError(f"text_readers is '{str(self.text_readers)[:40]}'; write discount or full_price")
        for name in ("share_ppm", "publisher_ppm"):
            ppm = getattr(self, name)
            if isinstance(ppm, bool) or not isinstance(ppm, int) or not 0 <= ppm <= MILLION:
                raise ValueError(f"{name} is {str(ppm)[:40]}; a part is between 0 and {MILLION} millionths")
        checked_price("nano_per_1000", self.nano_per_1000)
        if self.share_ppm and self.kind != "share":
            raise ValueError(f"share_ppm does nothing in terms of the kind {self.kind}: leave it out")
        if self.nano_per_1000 and self.kind != "fixed":
            raise ValueError(f"nano_per_1000 does nothing in terms of the kind {self.kind}: leave it out")

    @cached_property
    def id(self) -> str:
        """The sha256 of the content: terms that say the same have the same one."""
        return digest(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the content by name: whole numbers and texts."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> DocumentTerms:
        """Return the terms that ``as_json`` has written. Raises ValueError for wrong ones."""
        return cls(**told)


FREE = DocumentTerms()
"""Terms of a document whose publisher asks for nothing."""

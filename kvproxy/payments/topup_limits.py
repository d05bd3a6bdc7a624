"""`TopupLimits`: the least and the most that one top-up may be."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core import NANO, Money
from kvproxy.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class TopupLimits:
    """Limits in nano-units. Below the least a payment costs more than it brings."""

    least_nano: int = NANO // 100
    most_nano: int = 100 * NANO

    def check(self, nano: int, currency: str) -> None:
        """Raise InvalidRequest for an amount outside of the limits."""
        if not self.least_nano <= nano <= self.most_nano:
            least, most = Money(self.least_nano, currency), Money(self.most_nano, currency)
            raise InvalidRequest(f"A top-up is at least {least} and at most {most}.", param="amount")

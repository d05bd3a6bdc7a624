"""`LoginAttempts`: a bound of failed logins from one address."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

from kvproxy.errors import Overloaded

MOST_FAILED = 10
WINDOW_S = 60.0
MOST_ADDRESSES = 4096
"""Remembered addresses; the one that failed the longest ago is forgotten first."""


class LoginAttempts:
    """Failed logins by remote address, in bounded memory. Event loop only.

    Keys are random and looked up by a keyed hash, so that guessing finds none; the bound keeps a loop that tries from
    filling the log and the loop. Behind a reverse proxy all clients have its address, and share the bound.
    """

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, address: str, now: float) -> None:
        """Raise Overloaded (429, with ``Retry-After``) after MOST_FAILED failures within WINDOW_S.

        Example: ``attempts.check(request.remote or "", time.monotonic())``
        """
        began, failed = self._failed.get(address, (now, 0))
        if failed >= MOST_FAILED and now < began + WINDOW_S:
            wait = max(1, ceil(began + WINDOW_S - now))
            raise Overloaded(f"Too many failed logins. Try again in {wait} s.", retry_after_s=wait)

    def failed(self, address: str, now: float) -> None:
        """Count a failure.

        Example: ``attempts.failed(request.remote or "", time.monotonic())``
        """
        began, failed = self._failed.pop(address, (now, 0))
        if now >= began + WINDOW_S:
            began, failed = now, 0
        self._failed[address] = (began, failed + 1)
        if len(self._failed) > MOST_ADDRESSES:
            self._failed.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget the failures of an address."""
        self._failed.pop(address, None)

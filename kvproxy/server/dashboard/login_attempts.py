"""`LoginAttempts`: a bound of failed logins from one address."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from math import ceil

from kvproxy.errors import TooManyLogins

MOST_FAILED = 10
WINDOW_S = 60.0
MOST_ADDRESSES = 4096
"""Remembered addresses; the one that failed the longest ago is forgotten first."""
_NETWORK = 64
"""Bits of an IPv6 address that are one client's: it has all addresses behind them."""


class LoginAttempts:
    """Failed logins by remote address, in bounded memory. Event loop only.

    Keys are random and looked up by a keyed hash, so that guessing finds none; the bound keeps a loop that tries from
    filling the log and the loop. Behind a reverse proxy all clients have its address, and share the bound: what a
    client says of its own address, ``X-Forwarded-For`` among it, is not believed. A login forgets no failures: who has
    a key could else try on for ever.
    """

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, address: str, now: float) -> None:
        """Raise TooManyLogins (429, with ``Retry-After``) after MOST_FAILED failures within WINDOW_S.

        Example: ``attempts.check(request.remote or "", time.monotonic())``
        """
        began, failed = self._failed.get(client_of_address(address), (now, 0))
        if failed >= MOST_FAILED and now < began + WINDOW_S:
            wait = max(1, ceil(began + WINDOW_S - now))
            raise TooManyLogins(f"Too many failed logins. Try again in {wait} s.", retry_after_s=wait)

    def failed(self, address: str, now: float) -> None:
        """Count a failure.

        Example: ``attempts.failed(request.remote or "", time.monotonic())``
        """
        client = client_of_address(address)
        began, failed = self._failed.pop(client, (now, 0))
        if now >= began + WINDOW_S:
            began, failed = now, 0
        self._failed[client] = (began, failed + 1)
        if len(self._failed) > MOST_ADDRESSES:
            self._failed.popitem(last=False)


def client_of_address(address: str) -> str:
    """Return what failures are counted by: an IPv4 address, one mapped into IPv6 too, the network of an IPv6 address.

    Example: ``client_of_address("2001:db8::17") == "2001:db8::"``
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a Unix socket has none
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _NETWORK), strict=False).network_address)

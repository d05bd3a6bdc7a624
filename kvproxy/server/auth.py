"""Who is asking: API keys to callers, and callers to the scope that their pages live in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping

from kvproxy.core import Caller, IsolateBy
from kvproxy.errors import AuthenticationFailed

ANONYMOUS = Caller("anonymous", "local")


class Keyring:
    """``keys`` are (name, key) pairs; with none, everyone is ANONYMOUS. Only digests are kept. ``isolate_by``: by
    name, where it is set."""

    def __init__(
        self, keys: Iterable[tuple[str, str]] = (), isolate_by: Mapping[str, IsolateBy | None] | None = None
    ) -> None:
        isolated = isolate_by or {}
        self._callers = tuple((_digest(key), _caller(name, key, isolated.get(name))) for name, key in keys)

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """From ``Authorization: Bearer`` or ``x-api-key``. Raises AuthenticationFailed."""
        if not self._callers:
            return ANONYMOUS
        key = presented(headers)
        if key is None:
            raise AuthenticationFailed(
                "You didn't provide an API key. Send it as a header: Authorization: Bearer YOUR_KEY."
            )
        digest = _digest(key)
        found: Caller | None = None
        # Every key is compared, so that the time taken tells nothing about which one was near.
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        if found is None:
            raise AuthenticationFailed(
                "Incorrect API key provided. The proxy's keys are in its server.api_keys."
            )
        return found


def presented(headers: Mapping[str, str]) -> str | None:
    """The key that a request carries."""
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("x-api-key") or None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _caller(name: str, key: str, isolate_by: IsolateBy | None) -> Caller:
    return Caller(name, "tenant:" + _digest(key).hex()[:32], isolate_by)

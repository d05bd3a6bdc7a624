"""Who is asking: API keys to callers, and callers to the scope that their pages live in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping

from kvproxy.core import Caller, IsolateBy
from kvproxy.errors import AuthenticationFailed

KEY_HEADERS = ("x-api-key", "api-key")
"""Beside Authorization: Anthropic's and Azure's."""

ANONYMOUS = Caller("anonymous", "local")


class Keyring:
    """``keys`` are (name, key) pairs; with none, everyone is ANONYMOUS. Only digests are kept. ``isolate_by``: by
    name, where it is set."""

    def __init__(
        self, keys: Iterable[tuple[str, str]] = (), isolate_by: Mapping[str, IsolateBy | None] | None = None
    ) -> None:
        isolated = isolate_by or {}
        self._callers = tuple((_digest(key), _caller(name, key, isolated.get(name))) for name, key in keys)

    @property
    def empty(self) -> bool:
        """Whether nobody is asked for a key."""
        return not self._callers

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """From ``Authorization: Bearer``, ``x-api-key`` or ``api-key``. Clients send a placeholder in one and the key
        in another, so one that is known is enough; two of two tenants are not. Raises AuthenticationFailed."""
        if not self._callers:
            return ANONYMOUS
        keys = presented(headers)
        if not keys:
            raise AuthenticationFailed(_missing(headers))
        found = {caller for key in keys if (caller := self._known(key)) is not None}
        if len(found) > 1:
            raise AuthenticationFailed("The request has the API keys of two tenants. Send one of them.")
        if not found:
            raise AuthenticationFailed(
                "Incorrect API key provided. The proxy's keys are in its server.api_keys."
            )
        return found.pop()

    def _known(self, key: str) -> Caller | None:
        digest = _digest(key)
        found: Caller | None = None
        # Every key is compared, so that the time taken tells nothing about which one was near.
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def presented(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The different keys that a request carries: as OpenAI's clients send it, Anthropic's, and Azure's."""
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    sent = [bearer if scheme.lower() == "bearer" else "", *(headers.get(name, "") for name in KEY_HEADERS)]
    return tuple(dict.fromkeys(key.strip() for key in sent if key.strip()))


def _missing(headers: Mapping[str, str]) -> str:
    """A message that says what is wrong with a request that has no key, without a word of what it has instead."""
    ask = "Send it as a header: Authorization: Bearer YOUR_KEY."
    sent = headers.get("Authorization")
    if sent is None:
        return f"You didn't provide an API key. {ask}"
    scheme, space, _ = sent.strip().partition(" ")
    if scheme.lower() == "basic" and space:
        return f"The Authorization header has a user name and a password, not an API key. {ask}"
    if scheme.lower() == "bearer":
        return f"The Authorization header has no key after 'Bearer'. {ask}"
    return f"The Authorization header does not begin with 'Bearer '. {ask}"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _caller(name: str, key: str, isolate_by: IsolateBy | None) -> Caller:
    return Caller(name, "tenant:" + _digest(key).hex()[:32], isolate_by)

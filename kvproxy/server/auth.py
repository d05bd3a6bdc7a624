"""`Keyring`: authenticate a request's API key and return its caller, with the scope of the caller's pages."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping

from kvproxy.core import Caller, IsolateBy
from kvproxy.errors import AuthenticationFailed

KEY_HEADERS = ("x-api-key", "api-key")
"""Headers with a key beside Authorization: Anthropic's and Azure's."""

ANONYMOUS = Caller("anonymous", "local")


class Keyring:
    """The callers of the configured keys. ``keys`` are (name, key) pairs; without keys every caller is ANONYMOUS.
    Only digests are kept. ``isolate_by`` maps a key's name to its isolation, where it is set."""

    def __init__(
        self, keys: Iterable[tuple[str, str]] = (), isolate_by: Mapping[str, IsolateBy | None] | None = None
    ) -> None:
        isolated = isolate_by or {}
        self._callers = tuple((_digest(key), _caller(name, key, isolated.get(name))) for name, key in keys)

    @property
    def empty(self) -> bool:
        """True when requests need no key."""
        return not self._callers

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return the caller of the key in ``Authorization: Bearer``, ``x-api-key`` or ``api-key``.

        Clients send a placeholder in one and the key in another, so one known key is enough; keys of two tenants
        are refused. Raises AuthenticationFailed.
        """
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
        # Every key is compared, so that the time taken reveals nothing about a similar key.
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def presented(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the distinct keys of a request: from OpenAI's header, Anthropic's, and Azure's."""
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    sent = [bearer if scheme.lower() == "bearer" else "", *(headers.get(name, "") for name in KEY_HEADERS)]
    return tuple(dict.fromkeys(key.strip() for key in sent if key.strip()))


def _missing(headers: Mapping[str, str]) -> str:
    """Return an error message for a request without a key, which repeats no part of its Authorization header."""
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

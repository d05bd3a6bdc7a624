"""`Keyring`: authenticate a request's API key and return its caller, with scope and permissions; `require` one."""

from __future__ import annotations

import secrets
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from kvproxy.accounts.account_snapshot import Recognised, the_caller
from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.key_hash import KeyHash
from kvproxy.core import ANONYMOUS, DEFAULT_PERMISSIONS, Caller, IsolateBy, Permission, scope_of_key
from kvproxy.errors import AuthenticationFailed, InvalidRequest, PermissionDenied

RETENTION_HEADER = "x-kvproxy-retention"
"""``none``: nothing of the request is kept beyond its answer."""

KEY_HEADERS = ("x-api-key", "api-key")
"""Headers with a key beside Authorization: Anthropic's and Azure's."""


class Keyring:
    """The callers of the configured keys and of those in the database. Without any key every caller is ANONYMOUS.

    Keys are looked up by a keyed hash, which takes the same time for a similar key as for any other; no key is kept.
    """

    def __init__(
        self,
        keys: Iterable[tuple[str, str]] = (),
        isolate_by: Mapping[str, IsolateBy | None] | None = None,
        *,
        permissions: Mapping[str, frozenset[Permission]] | None = None,
        no_retention: Container[str] = (),
        accounts: Accounts | None = None,
    ) -> None:
        """``keys`` are (name, key) pairs; ``isolate_by`` and ``permissions`` are by name, where they are set.
        ``no_retention``: names of tenants whose requests leave nothing behind, by whichever of their keys.

        Example:
            ``Keyring([("alice", key)], permissions={"alice": frozenset({"read"})}, accounts=accounts)``
        """
        self._hash = KeyHash(secrets.token_bytes(32))
        self._accounts, self._no_retention = accounts, no_retention
        isolated, permitted = isolate_by or {}, permissions or {}
        self._callers = {
            self._hash.digest(key): Caller(
                name,
                scope_of_key(key) if accounts is None else accounts.tenant(name).scope,
                isolated.get(name),
                None,
                f"config:{name}",
                permitted.get(name, DEFAULT_PERMISSIONS),
            )
            for name, key in keys
        }

    @property
    def empty(self) -> bool:
        """True when requests need no key."""
        return not self._callers and not (self._accounts is not None and self._accounts.has_keys)

    @property
    def configured(self) -> tuple[Caller, ...]:
        """The callers of the configuration's keys, by name."""
        return tuple(sorted(self._callers.values(), key=lambda caller: caller.name))

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return the caller of the key in ``Authorization: Bearer``, ``x-api-key`` or ``api-key``.

        Clients send a placeholder in one and the key in another, so one known key is enough; two are refused. Raises
        AuthenticationFailed.
        """
        if self.empty:
            return ANONYMOUS
        keys = presented(headers)
        if not keys:
            raise AuthenticationFailed(_missing(headers))
        caller = the_caller([self._recognise(key) for key in keys])
        if caller is None:
            raise AuthenticationFailed(
                "Incorrect API key provided. The proxy's keys are in its server.api_keys, and made with: kvproxy keys "
                "create."
            )
        return replace(caller, retain=False) if caller.name in self._no_retention else caller

    def _recognise(self, key: str) -> Recognised:
        caller = self._callers.get(self._hash.digest(key))
        if self._accounts is None:
            return Recognised(caller)
        if caller is None:
            return self._accounts.recognise(key)
        refusal = self._accounts.closed(caller.name)
        return Recognised(caller) if refusal is None else Recognised(refusal=refusal)


def keeps_rights(keyring: Keyring, headers: Mapping[str, str], began: Caller) -> bool:
    """Return whether the key in ``headers`` is still what it was when a stream of its caller's began: not revoked, not
    expired, of an open tenant, with the same permissions.

    Example: ``keeps_rights(components.keyring, request.headers, request[CALLER])``
    """
    try:
        now = keyring.caller(headers)
    except AuthenticationFailed:
        return False
    return (now.name, now.scope, now.permissions) == (began.name, began.scope, began.permissions)


def asked_retention(caller: Caller, headers: Mapping[str, str]) -> Caller:
    """Return the caller with what its request's ``x-kvproxy-retention`` asks for. Raises InvalidRequest.

    The header can only take retention away, never give it to a tenant that has none.
    """
    asked = headers.get(RETENTION_HEADER)
    if asked is None:
        return caller
    if asked.strip().lower() != "none":
        raise InvalidRequest(
            f"The header {RETENTION_HEADER} is 'none', or is left out.", param=RETENTION_HEADER
        )
    return replace(caller, retain=False)


def require(caller: Caller, permission: Permission) -> None:
    """Raise PermissionDenied unless the caller's API key has the permission."""
    if permission not in caller.permissions:
        has = ", ".join(sorted(caller.permissions)) or "none"
        raise PermissionDenied(
            f"This needs an API key with the scope '{permission}'; yours has: {has}. Ask the proxy's operator for one: "
            f"kvproxy keys create {caller.name} --scope {permission}"
        )


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

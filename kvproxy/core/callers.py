"""Callers, and the scopes that their pages live in: derived from API keys, never chosen by a client."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from kvproxy.core.namespaces import namespace
from kvproxy.core.requests import CacheHints
from kvproxy.core.session_hints import RetainHint

Visibility = Literal["public", "granted", "private"]
IsolateBy = Literal["prompt_cache_key"]

Permission = Literal["read", "publish", "ledger", "metrics", "admin"]
"""A scope of an API key as its API names it, so that it is not mixed up with the scopes of pages."""

ALL_PERMISSIONS: frozenset[Permission] = frozenset(get_args(Permission))

DEFAULT_PERMISSIONS: frozenset[Permission] = ALL_PERMISSIONS - {"admin"}
"""The permissions of an API key for which none are named."""

PUBLIC = "public"
"""Scope of the pages of public documents: any caller may read them, only publishing writes them."""

GRANTED = "granted"
"""The namespace of granted documents, and the beginning of the scopes of their pages."""

_DOCUMENTS = "/documents"


def documents_scope(scope: str) -> str:
    """Return the scope of the pages of ``scope``'s private documents.

    It differs from the scope of its prompts, so that a salted request reads the documents and not the prompts.
    """
    return f"{scope}{_DOCUMENTS}"


def granted_scope(id: str, version: int, owner_scope: str) -> str:
    """Return the scope of the pages of one version of a granted document.

    A version has its own, though versions of one document would share many pages: a grant may be for one version, and
    whoever may read it must reach the pages of no other.

    Example:
        ``scope = granted_scope("handbook", 3, caller.scope)``
    """
    name = f"{id}\n{version}\n{owner_scope}"
    return f"{GRANTED}:{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def owner_of(scope: str) -> str:
    """Return the owner of the documents in this scope: the tenant; or PUBLIC or GRANTED, each of which counts as one
    owner where the engine is shared."""
    if scope.startswith(f"{GRANTED}:"):
        return GRANTED
    return scope.removesuffix(_DOCUMENTS)


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request. The server derives ``scope`` from the API key; no caller can choose it."""

    name: str
    """The tenant: its account in the ledger, and as a publisher its name in the catalog."""
    scope: str
    isolate_by: IsolateBy | None = None
    """The operator's choice for this API key: the request's field that is a salt where it has no ``cache_salt``."""
    salt: str | None = None
    """A digest of the salt that separates this request's pages: see :meth:`salted`."""
    key: str | None = None
    """The id of the API key, for budgets and usage by key; None for a caller without a key."""
    permissions: frozenset[Permission] = ALL_PERMISSIONS
    """The permissions of the API key. A caller of a proxy without keys has all."""
    granted: tuple[str, ...] = ()
    """Scopes of granted documents that this request may read: those of the documents in its prompt, set by the
    pipeline for one request."""
    retain: bool = True
    """False: nothing of this caller's requests is kept beyond their answers, by its API key's setting or by the
    request's ``x-kvproxy-retention: none``. Published documents are read as ever."""
    hint: RetainHint | None = None
    """The wish of this request's session about its pages: ``x-kvproxy-retain``."""

    def retains(self, hints: CacheHints) -> bool:
        """Return whether a request of this caller with these hints may leave anything behind: pages, a stored response,
        a sample for an audit, a record of its text."""
        return self.retain and hints.retain

    def session_hint(self, hints: CacheHints) -> RetainHint | None:
        """Return the wish of a request of this caller with these hints: its headers' before its body's."""
        if self.hint is not None:
            return self.hint if self.hint.session else replace(self.hint, session=hints.key or "")
        return None if hints.ttl_s is None else RetainHint(float(hints.ttl_s), hints.key or "")

    @property
    def cache_scope(self) -> str:
        """The scope of pages that belong to no published document."""
        return self.scope if self.salt is None else f"{self.scope}#{self.salt}"

    @property
    def readable(self) -> tuple[str, ...]:
        """Scopes with pages that this caller may read, in the order in which they are tried."""
        return (PUBLIC, documents_scope(self.scope), *self.granted, self.cache_scope)

    def reading(self, scopes: Iterable[str | None]) -> Caller:
        """Return this caller with those of ``scopes`` that are granted documents'; others change nothing.

        The scopes come from a prompt or a document that this caller was let into: nothing else is asked here.
        """
        granted = tuple(dict.fromkeys(s for s in scopes if s is not None and s.startswith(f"{GRANTED}:")))
        return replace(self, granted=granted) if granted != self.granted else self

    def salted(self, hints: CacheHints) -> Caller:
        """Return this caller with the request's salt, which separates its pages from those of any other salt and of
        none.

        Without a salt the caller is returned unchanged.
        """
        salt = hints.salt or (hints.key if self.isolate_by == "prompt_cache_key" else None)
        if not salt:
            return self
        return replace(self, salt=hashlib.sha256(salt.encode("utf-8", "surrogatepass")).hexdigest()[:32])


def secret_scope(secret: bytes, key: str) -> str:
    """Return the scope of the tenant of an API key of the configuration, under the host's secret.

    Example:
        ``secret_scope(open_secret(folder), "sk-…")``
    """
    return f"tenant:{namespace(secret, 'tenant', key)}"


ANONYMOUS = Caller("anonymous", "local")
"""The caller of every request to a proxy without API keys."""


def scope_of_key(key: str) -> str:
    """Return the scope that an API key of the configuration gives its pages where no secret is known.

    Tenants that were made before scopes had a secret keep theirs, which is this one.
    """
    return "tenant:" + hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]

"""`KeysView`: tenants, API keys and grants as their view shows them. Pure; no key's text is in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kvproxy.accounts.account_values import StoredKey, Tenant
from kvproxy.accounts.grant_values import Grant, GrantUse
from kvproxy.core import Caller
from kvproxy.dashboard.views.row_pages import RowPage, page_of

State = Literal["good", "revoked", "expired", "closed", "used up"]


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One API key."""

    id: str
    """Empty for a key of the configuration, which is changed there alone."""
    tenant: str
    hint: str
    label: str
    scopes: tuple[str, ...]
    created: float | None
    """Unix seconds, as all times here."""
    expires: float | None
    last_used: float | None
    """None: not since this process has started."""
    state: State
    revoked: float | None


@dataclass(frozen=True, slots=True)
class TenantRow:
    """One tenant."""

    name: str
    created: float
    closed: float | None
    keys: int
    """Good keys."""


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One grant of the caller's."""

    id: str
    document: str
    """With the version where it is for one."""
    reader: str
    created: float
    expires: float | None
    state: State
    use: GrantUse
    caps: Grant
    own_price: bool
    """True where its price is not the document's."""


@dataclass(frozen=True, slots=True)
class KeysView:
    """The readers and keys that a caller may see: all keys for an admin, its own documents' readers for a publisher."""

    keys: RowPage[KeyRow] | None
    """None for who is no admin."""
    tenants: RowPage[TenantRow] | None
    grants: RowPage[GrantRow] | None
    """None for who may not publish."""
    tenant: str
    """The tenant that the keys are restricted to; empty: all."""
    names: tuple[str, ...]
    """The tenants that a key can be made for."""


def key_rows(
    stored: Iterable[tuple[StoredKey, int | None]],
    configured: Iterable[Caller],
    closed: frozenset[str],
    now: float,
) -> list[KeyRow]:
    """Return the keys, those of the configuration first, then the newest. ``stored``: with the last use in
    milliseconds. ``closed``: tenants whose keys are refused.

    Example: ``key_rows([(key, accounts.last_used(key.id)) for key in accounts.keys()], (), frozenset(), now)``
    """
    rows = [
        KeyRow(
            "", c.name, "", "from the configuration", _scopes(c.permissions), None, None, None, "good", None
        )
        for c in configured
    ]
    made = [_key(key, used, closed, now) for key, used in stored]
    return rows + made[::-1]


def tenant_rows(tenants: Sequence[Tenant], keys: Sequence[KeyRow]) -> list[TenantRow]:
    """Return the tenants in the order that is given."""
    good: dict[str, int] = {}
    for key in keys:
        good[key.tenant] = good.get(key.tenant, 0) + (key.state == "good")
    return [TenantRow(t.id, t.created_ms / 1000, _seconds(t.closed_ms), good.get(t.id, 0)) for t in tenants]


def grant_rows(grants: Iterable[tuple[Grant, GrantUse]], now: float) -> list[GrantRow]:
    """Return grants, the newest first."""
    return [_grant(grant, use, now) for grant, use in grants][::-1]


def tenant_page(tenants: Sequence[TenantRow], query: Mapping[str, str]) -> RowPage[TenantRow]:
    """Return the page of tenants that ``?tenants=…`` asks for."""
    return page_of(tenants, query, param="tenants")


def _key(key: StoredKey, used: int | None, closed: frozenset[str], now: float) -> KeyRow:
    state: State = "good"
    if key.revoked_ms is not None:
        state = "revoked"
    elif key.expires_ms is not None and key.expires_ms <= now * 1000:
        state = "expired"
    elif key.tenant in closed:
        state = "closed"
    return KeyRow(
        key.id,
        key.tenant,
        key.hint,
        key.label or "",
        _scopes(key.permissions),
        key.created_ms / 1000,
        _seconds(key.expires_ms),
        _seconds(used),
        state,
        _seconds(key.revoked_ms),
    )


def _grant(grant: Grant, use: GrantUse, now: float) -> GrantRow:
    state: State = "good"
    if grant.revoked_ms is not None:
        state = "revoked"
    elif grant.expires_ms is not None and grant.expires_ms <= now * 1000:
        state = "expired"
    elif use.exhausts(grant):
        state = "used up"
    version = "" if grant.version is None else f"@{grant.version}"
    reader = "everybody" if grant.reader is None else f"{grant.reader_kind} {grant.reader}"
    return GrantRow(
        grant.id,
        f"{grant.document}{version}",
        reader,
        grant.created_ms / 1000,
        _seconds(grant.expires_ms),
        state,
        use,
        grant,
        grant.terms is not None,
    )


def _scopes(permissions: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(permissions))


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000

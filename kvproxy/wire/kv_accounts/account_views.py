"""Views of keys, tenants and grants as objects of the HTTP API, and their types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.accounts.account_values import Budget, NewKey, Period, StoredKey, Tenant
from kvproxy.accounts.grant_values import Grant, ReaderKind
from kvproxy.core import IsolateBy, Permission
from kvproxy.wire.market.quote_types import MoneyBody, money_body


class KvBudget(TypedDict):
    """Limits for each period. Null: no limit of that kind."""

    period: Period
    tokens: int | None
    money: MoneyBody | None
    requests: int | None


class KeyView(TypedDict):
    """An API key, without the key itself; ``hint`` is its end. Times are Unix seconds."""

    id: str
    tenant: str
    hint: str
    scopes: list[Permission]
    isolate_by: IsolateBy | None
    label: str | None
    created: int
    expires: int | None
    revoked: int | None
    budgets: list[KvBudget]


class KvKey(KeyView):
    """An API key."""

    object: Literal["kv_key"]


class KvNewKey(KeyView):
    """An API key that was just made. ``key`` is shown here, and never again."""

    object: Literal["kv_new_key"]
    key: str


class KvKeyList(TypedDict):
    """A list of API keys, revoked and expired ones too."""

    object: Literal["list"]
    data: list[KvKey]


class KvTenant(TypedDict):
    """A tenant. ``credit`` is how far its balance may go below zero; null: without a limit."""

    id: str
    object: Literal["kv_tenant"]
    created: int
    closed: int | None
    credit: MoneyBody | None
    budgets: list[KvBudget]


class KvTenantList(TypedDict):
    """A list of tenants."""

    object: Literal["list"]
    data: list[KvTenant]


class KvGrant(TypedDict):
    """A permission to load a document by reference. ``version`` null: every version; ``terms`` null: the document's.

    A cap of null is none. ``expires`` and ``revoked`` are Unix seconds.
    """

    id: str
    object: Literal["kv_grant"]
    publisher: str
    document: str
    version: int | None
    reader_kind: ReaderKind
    reader: str | None
    terms: str | None
    max_reads: int | None
    max_tokens: int | None
    max_money: MoneyBody | None
    created: int
    expires: int | None
    revoked: int | None


class KvGrantList(TypedDict):
    """A list of grants."""

    object: Literal["list"]
    data: list[KvGrant]


def kv_key(key: StoredKey, budgets: Iterable[Budget], currency: str) -> KvKey:
    """Return the view of an API key.

    Example:
        ``kv_key(key, accounts.budgets(key_subject(key.id)), "USD")``
    """
    view: KvKey = {"object": "kv_key", **_key(key, budgets, currency)}
    return view


def kv_new_key(new: NewKey, budgets: Iterable[Budget], currency: str) -> KvNewKey:
    """Return the one view that shows the key itself.

    Example:
        ``kv_new_key(accounts.create_key(order), (), "USD")``
    """
    view: KvNewKey = {"object": "kv_new_key", "key": new.text, **_key(new.stored, budgets, currency)}
    return view


def kv_tenant(tenant: Tenant, budgets: Iterable[Budget], currency: str) -> KvTenant:
    """Return the view of a tenant.

    Example:
        ``kv_tenant(tenant, accounts.budgets(tenant_subject(tenant.id)), "USD")``
    """
    return {
        "id": tenant.id,
        "object": "kv_tenant",
        "created": tenant.created_ms // 1000,
        "closed": _seconds(tenant.closed_ms),
        "credit": _money(tenant.credit_nano, currency),
        "budgets": [_budget(budget, currency) for budget in budgets],
    }


def kv_grant(grant: Grant, currency: str) -> KvGrant:
    """Return the view of a grant."""
    return {
        "id": grant.id,
        "object": "kv_grant",
        "publisher": grant.publisher,
        "document": grant.document,
        "version": grant.version,
        "reader_kind": grant.reader_kind,
        "reader": grant.reader,
        "terms": grant.terms,
        "max_reads": grant.max_reads,
        "max_tokens": grant.max_tokens,
        "max_money": _money(grant.max_nano, currency),
        "created": grant.created_ms // 1000,
        "expires": _seconds(grant.expires_ms),
        "revoked": _seconds(grant.revoked_ms),
    }


def _key(key: StoredKey, budgets: Iterable[Budget], currency: str) -> KeyView:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "hint": key.hint,
        "scopes": sorted(key.permissions),
        "isolate_by": key.isolate_by,
        "label": key.label,
        "created": key.created_ms // 1000,
        "expires": _seconds(key.expires_ms),
        "revoked": _seconds(key.revoked_ms),
        "budgets": [_budget(budget, currency) for budget in budgets],
    }


def _budget(budget: Budget, currency: str) -> KvBudget:
    return {
        "period": budget.period,
        "tokens": budget.tokens,
        "money": _money(budget.nano, currency),
        "requests": budget.requests,
    }


def _money(nano: int | None, currency: str) -> MoneyBody | None:
    return None if nano is None else money_body(nano, currency)


def _seconds(ms: int | None) -> int | None:
    return None if ms is None else ms // 1000

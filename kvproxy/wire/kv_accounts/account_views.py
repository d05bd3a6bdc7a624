"""Views of keys, tenants and grants, as objects of the HTTP API."""

from __future__ import annotations

from collections.abc import Iterable

from kvproxy.accounts.account_values import Budget, NewKey, StoredKey, Tenant
from kvproxy.accounts.grant_values import Grant
from kvproxy.wire.kv_accounts.account_types import KeyView, KvBudget, KvGrant, KvKey, KvNewKey, KvTenant
from kvproxy.wire.market.quote_types import MoneyBody, money_body


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

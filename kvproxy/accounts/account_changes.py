"""Changes of tenants, keys and budgets, each checked and written within one transaction. Blocking."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from kvproxy.accounts import account_rows
from kvproxy.accounts.account_values import (
    Budget,
    KeyOrder,
    NewKey,
    StoredKey,
    Tenant,
    checked_limit,
    checked_tenant,
    key_subject,
    now_ms,
    shown_id,
    storable,
)
from kvproxy.accounts.key_hash import KeyHash, hint_of, new_key_text
from kvproxy.core import ANONYMOUS, scope_of_key, secret_scope
from kvproxy.core.document_quota import DocumentQuota
from kvproxy.errors import AccountNotFound, AlreadyUsed, InvalidRequest, SetupError


@dataclass(frozen=True, slots=True)
class StaticTenant:
    """A tenant of the configuration: a key's name and the key; None for the one tenant of a proxy without keys."""

    id: str
    key: str | None = field(repr=False)


def adopt_tenants(
    db: Connection, secret: bytes, tenants: Iterable[StaticTenant], credit_nano: int | None
) -> None:
    """Make the tenants of the configuration that are not there yet, with scopes under ``secret``. Raises SetupError.

    One that exists keeps its scope, so that a new key in the configuration finds the pages of the old one.

    Example:
        ``adopt_tenants(db, secret, [StaticTenant("alice", key)], 0)``
    """
    for static in tenants:
        if account_rows.find_tenant(db, static.id) is not None:
            continue
        scopes = (
            (ANONYMOUS.scope,)
            if static.key is None
            else (secret_scope(secret, static.key), scope_of_key(static.key))
        )
        if (other := account_rows.tenant_of_scopes(db, scopes)) is not None:
            raise SetupError(
                f"server.api_keys gives '{static.id}' the key that tenant '{other}' had before: documents and money "
                f"stay with a tenant's name. Keep the name '{other}', or make another key"
            )
        account_rows.add_tenant(db, Tenant(static.id, scopes[0], now_ms(), credit_nano))


def add_tenant(db: Connection, id: str, credit_nano: int | None) -> Tenant:
    """Make a tenant. Raises AlreadyUsed for a name that is taken, InvalidRequest.

    Example:
        ``add_tenant(db, "alice", credit_nano=0)``
    """
    tenant = Tenant(checked_tenant(id), f"tenant:{secrets.token_hex(16)}", now_ms(), _credit(credit_nano))
    if account_rows.find_tenant(db, id) is not None:
        raise AlreadyUsed(f"There is a tenant '{id}' already. Change that one, or choose another name.")
    account_rows.add_tenant(db, tenant)
    return tenant


def set_credit(db: Connection, id: str, credit_nano: int | None) -> Tenant:
    """Set how far a tenant's balance may go below zero. Raises AccountNotFound, InvalidRequest.

    Example:
        ``set_credit(db, "alice", None)`` takes away the limit.
    """
    tenant = replace(_tenant(db, id), credit_nano=_credit(credit_nano))
    account_rows.set_tenant(db, tenant)
    return tenant


def close_tenant(db: Connection, id: str, closed: bool) -> Tenant:
    """Refuse a tenant's keys, or accept them again. Raises AccountNotFound.

    Example:
        ``close_tenant(db, "alice", True)``
    """
    tenant = _tenant(db, id)
    tenant = replace(tenant, closed_ms=(tenant.closed_ms or now_ms()) if closed else None)
    account_rows.set_tenant(db, tenant)
    return tenant


def set_budget(db: Connection, budget: Budget) -> None:
    """Set or remove the limits of one period. Raises AccountNotFound for another subject, InvalidRequest."""
    for param, value in (("tokens", budget.tokens), ("amount", budget.nano), ("requests", budget.requests)):
        checked_limit(value, param=param)
    kind, _, id = budget.subject.partition(":")
    if kind == "tenant":
        _tenant(db, id)
    else:
        _key(db, id)
    account_rows.put_budget(db, budget)


def set_quota(db: Connection, id: str, quota: DocumentQuota | None) -> None:
    """Set a tenant's own quota of documents, None: the configured one again. Raises AccountNotFound, InvalidRequest.

    Example:
        ``set_quota(db, "alice", DocumentQuota(versions=1000))``
    """
    if quota is not None:
        for param, value in (("versions", quota.versions), ("bytes", quota.bytes), ("tokens", quota.tokens)):
            checked_limit(value, param=param)
    account_rows.put_quota(db, _tenant(db, id).id, quota)


def add_key(db: Connection, hash: KeyHash, order: KeyOrder) -> NewKey:
    """Make an API key. Raises AccountNotFound, InvalidRequest.

    Example:
        ``add_key(db, hash, KeyOrder("alice", frozenset({"read"}))).text``
    """
    order.check()
    _tenant(db, order.tenant)
    text = new_key_text()
    stored = StoredKey(
        id=f"key_{secrets.token_hex(8)}",
        tenant=order.tenant,
        hint=hint_of(text),
        permissions=order.permissions,
        isolate_by=order.isolate_by,
        created_ms=now_ms(),
        expires_ms=order.expires_ms,
        label=order.label,
    )
    account_rows.add_key(db, stored, digest=hash.digest(text), made_with=hash.mark)
    return NewKey(text, stored)


def replace_key(db: Connection, hash: KeyHash, id: str, overlap_ms: int) -> NewKey:
    """Make a key with another one's permissions and budgets, and end that one after the overlap.

    The new key expires when the old one would have. Raises AccountNotFound, InvalidRequest for a key that has ended.

    Example:
        ``replace_key(db, hash, "key_0f…", 3_600_000)``
    """
    old, now = _key(db, id), now_ms()
    if old.refusal(now) is not None:
        raise InvalidRequest(f"Key '{id}' has ended already. Make a new one.", param="key")
    order = KeyOrder(old.tenant, old.permissions, old.label, old.expires_ms, old.isolate_by)
    made = add_key(db, hash, order)
    for budget in account_rows.read_budgets(db, key_subject(id)):
        account_rows.put_budget(db, replace(budget, subject=key_subject(made.stored.id)))
    if overlap_ms > 0:
        end = now + overlap_ms
        ended = replace(old, expires_ms=end if old.expires_ms is None else min(end, old.expires_ms))
    else:
        ended = replace(old, revoked_ms=now)
    account_rows.set_key_end(db, ended)
    return made


def revoke_key(db: Connection, id: str) -> StoredKey:
    """End a key now; one that was revoked before stays as it is. Raises AccountNotFound."""
    key = _key(db, id)
    if key.revoked_ms is None:
        key = replace(key, revoked_ms=now_ms())
        account_rows.set_key_end(db, key)
    return key


def no_tenant(id: str) -> AccountNotFound:
    """Return the error for a tenant that is not there."""
    return AccountNotFound(f"There is no tenant '{shown_id(id)}'.", param="tenant")


def no_key(id: str) -> AccountNotFound:
    """Return the error for an API key that is not there."""
    return AccountNotFound(f"There is no API key with the id '{shown_id(id)}'.", param="key")


def _credit(nano: int | None) -> int | None:
    return checked_limit(nano, param="credit")


def _tenant(db: Connection, id: str) -> Tenant:
    found = account_rows.find_tenant(db, id) if storable(id) else None
    if found is None:
        raise no_tenant(id)
    return found


def _key(db: Connection, id: str) -> StoredKey:
    found = account_rows.find_key(db, id) if storable(id) else None
    if found is None:
        raise no_key(id)
    return found

"""`Accounts`: tenants, API keys and budgets; looked up in memory by every request, changed in the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from kvproxy.accounts import account_changes, account_rows
from kvproxy.accounts.account_changes import StaticTenant, no_key, no_tenant
from kvproxy.accounts.account_snapshot import AccountSnapshot, Recognised, the_caller
from kvproxy.accounts.account_values import Budget, CreditLimit, KeyOrder, NewKey, StoredKey, Tenant, now_ms
from kvproxy.accounts.key_hash import KeyHash
from kvproxy.core import Caller
from kvproxy.core.document_quota import DocumentQuota
from kvproxy.database.database import Database

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class Accounts:
    """The accounts of one database. Look-ups are of memory, for the event loop; ``load`` and what stands behind it
    block.

    What this process changes counts at once. A change by another process counts after ``refresh``, which
    :func:`~kvproxy.accounts.open_accounts.open_accounts` calls every few seconds.
    """

    def __init__(self, database: Database, secret: bytes, *, default_credit_nano: int | None = 0) -> None:
        """``secret``: of the hashes of keys. ``default_credit_nano``: the credit of tenants for which none is named.

        Example:
            ``Accounts(database, open_secret(folder), default_credit_nano=0).load()``
        """
        self._database = database
        self._hash = KeyHash(secret)
        self._default_credit_nano = default_credit_nano
        self._snapshot = AccountSnapshot()
        self._loading = threading.Lock()
        self._used: dict[str, int] = {}
        """By the ids of keys, the last use that this process has seen, in Unix milliseconds."""

    @property
    def has_keys(self) -> bool:
        """True when there is any key, a revoked or expired one too: such a proxy is never open to everybody again."""
        return bool(self._snapshot.keys)

    def recognise(self, key: str) -> Recognised:
        """Look up a key as a client sent it: one hash and one dictionary, however many keys there are."""
        now = now_ms()
        found = self._snapshot.recognise(self._hash.digest(key), now)
        if found.caller is not None and found.caller.key is not None:
            self._used[found.caller.key] = now
        return found

    def last_used(self, id: str) -> int | None:
        """Return when a key was last good for a request to this process, in Unix milliseconds; None: not since it
        started."""
        return self._used.get(id)

    def caller_of(self, keys: Sequence[str]) -> Caller | None:
        """Return the caller of a request with these keys, of which others may be placeholders; None for unknown ones.

        Raises AuthenticationFailed for a revoked or expired key, and for two good ones.
        """
        return the_caller([self.recognise(key) for key in keys])

    def closed(self, tenant: str) -> str | None:
        """Return why a tenant's keys are refused, or None."""
        return self._snapshot.closed(tenant)

    def tenants(self) -> list[Tenant]:
        """Return all tenants by name."""
        return sorted(self._snapshot.tenants.values(), key=lambda tenant: tenant.id)

    def tenant(self, id: str) -> Tenant:
        """Return a tenant. Raises AccountNotFound."""
        found = self._snapshot.tenants.get(id)
        if found is None:
            raise no_tenant(id)
        return found

    def tenant_of(self, scope: str) -> str:
        """Return the tenant whose pages are in this scope; empty where there is none."""
        return self._snapshot.scopes.get(scope, "")

    def keys(self, tenant: str | None = None) -> list[StoredKey]:
        """Return the keys of one tenant or of all, the oldest first."""
        return [key for key in self._snapshot.keys.values() if tenant in (None, key.tenant)]

    def key(self, id: str) -> StoredKey:
        """Return a key. Raises AccountNotFound."""
        found = self._snapshot.keys.get(id)
        if found is None:
            raise no_key(id)
        return found

    def budgets(self, subject: str) -> tuple[Budget, ...]:
        """Return the budgets of ``tenant:alice`` or ``key:ID``."""
        return self._snapshot.budgets.get(subject, ())

    def budgets_of(self, caller: Caller) -> tuple[Budget, ...]:
        """Return the budgets that count for a caller: its tenant's and its key's."""
        return self._snapshot.budgets_of(caller)

    def load(self) -> None:
        """Read all accounts. Blocking."""
        with self._loading, self._database.snapshot() as db:
            # Read and put in place under the lock: an older snapshot never comes after a newer one.
            self._snapshot = account_rows.read_accounts(db, self._hash.mark)

    def refresh(self) -> bool:
        """Read the accounts again where another process has changed them; return whether that was so. Blocking."""
        with self._database.snapshot() as db:
            number = account_rows.change_number(db)
        if number == self._snapshot.number:
            return False
        self.load()
        return True

    def warn_of_foreign_keys(self) -> None:
        """Log it when there are keys that this process cannot recognise, as another secret made them."""
        if count := self._snapshot.foreign_keys:
            logger.warning(
                "%d API keys were made with another keys.secret and are refused here; copy that file into this "
                "store's folder, or make the keys again",
                count,
            )

    def adopt(self, tenants: Iterable[StaticTenant]) -> None:
        """Make the tenants of the configuration where they are not there yet. Blocking. Raises SetupError."""
        self._change(
            lambda db: account_changes.adopt_tenants(
                db, self._hash.secret, tenants, self._default_credit_nano
            )
        )

    def create_tenant(self, id: str, credit: CreditLimit | None = None) -> Tenant:
        """Make a tenant, with the default credit where none is given. Blocking. Raises AlreadyUsed, InvalidRequest."""
        nano = self._default_credit_nano if credit is None else credit.nano
        return self._change(lambda db: account_changes.add_tenant(db, id, nano))

    def set_credit(self, id: str, credit: CreditLimit) -> Tenant:
        """Set how far a tenant's balance may go below zero. Blocking. Raises AccountNotFound, InvalidRequest."""
        return self._change(lambda db: account_changes.set_credit(db, id, credit.nano))

    def close_tenant(self, id: str, *, closed: bool = True) -> Tenant:
        """Refuse all keys of a tenant from now on, or accept them again. Blocking. Raises AccountNotFound."""
        return self._change(lambda db: account_changes.close_tenant(db, id, closed))

    def set_budget(self, budget: Budget) -> None:
        """Set the limits of a tenant or a key for one period; an empty budget removes them. Blocking.

        Raises AccountNotFound for another subject, InvalidRequest.
        """
        self._change(lambda db: account_changes.set_budget(db, budget))

    def quota(self, tenant: str) -> DocumentQuota | None:
        """Return a tenant's own quota of documents; None where the configured one counts."""
        return self._snapshot.quotas.get(tenant)

    def set_quota(self, id: str, quota: DocumentQuota | None) -> None:
        """Set a tenant's own quota of documents, None: the configured one again. Blocking. Raises AccountNotFound,
        InvalidRequest."""
        self._change(lambda db: account_changes.set_quota(db, id, quota))

    def create_key(self, order: KeyOrder) -> NewKey:
        """Make an API key. Its text is in the answer alone. Blocking. Raises AccountNotFound, InvalidRequest."""
        return self._change(lambda db: account_changes.add_key(db, self._hash, order))

    def rotate_key(self, id: str, *, overlap_ms: int = 0) -> NewKey:
        """Make a key in place of another one, which is good for ``overlap_ms`` more. Blocking.

        Raises AccountNotFound, InvalidRequest.
        """
        return self._change(lambda db: account_changes.replace_key(db, self._hash, id, overlap_ms))

    def revoke_key(self, id: str) -> StoredKey:
        """Refuse a key from now on. Blocking. Raises AccountNotFound."""
        return self._change(lambda db: account_changes.revoke_key(db, id))

    def _change(self, change: Callable[[Connection], _T]) -> _T:
        with account_rows.account_change(self._database) as db:
            result = change(db)
        self.load()
        return result

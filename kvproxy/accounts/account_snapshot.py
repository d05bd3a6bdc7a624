"""`AccountSnapshot`: all accounts at one moment, by what they are looked up by. Frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kvproxy.accounts.account_values import Budget, StoredKey, Tenant, key_subject, tenant_subject, utc
from kvproxy.core import Caller
from kvproxy.core.document_quota import DocumentQuota
from kvproxy.errors import AuthenticationFailed


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A stored key with the caller that it stands for."""

    stored: StoredKey
    caller: Caller


@dataclass(frozen=True, slots=True)
class Recognised:
    """The result of looking up a key: its caller, or the reason why a known key is refused, or neither."""

    caller: Caller | None = None
    refusal: str | None = None


UNKNOWN = Recognised()


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """Tenants by name, keys by digest and by id, budgets by subject."""

    number: int = 0
    """The number of changes that it holds."""
    tenants: Mapping[str, Tenant] = field(default_factory=dict)
    scopes: Mapping[str, str] = field(default_factory=dict)
    """Tenants' names by the scope of their pages."""
    digests: Mapping[bytes, KnownKey] = field(default_factory=dict, repr=False)
    keys: Mapping[str, StoredKey] = field(default_factory=dict)
    budgets: Mapping[str, tuple[Budget, ...]] = field(default_factory=dict)
    quotas: Mapping[str, DocumentQuota] = field(default_factory=dict)
    """Tenants' own quotas of documents, by name."""
    foreign_keys: int = 0
    """Keys that were made with another secret, and that nobody can use here."""

    def recognise(self, digest: bytes, now_ms: int) -> Recognised:
        """Look up a key by its digest."""
        known = self.digests.get(digest)
        if known is None:
            return UNKNOWN
        refusal = known.stored.refusal(now_ms) or self.closed(known.stored.tenant)
        return Recognised(refusal=refusal) if refusal is not None else Recognised(known.caller)

    def closed(self, tenant: str) -> str | None:
        """Return why a tenant's keys are refused, or None."""
        found = self.tenants.get(tenant)
        if found is None or found.closed_ms is None:
            return None
        return f"The tenant of this API key was closed on {utc(found.closed_ms)}. Ask the proxy's operator."

    def budgets_of(self, caller: Caller) -> tuple[Budget, ...]:
        """Return the budgets that count for a caller: its tenant's, then its key's."""
        own = self.budgets.get(tenant_subject(caller.name), ())
        return own if caller.key is None else own + self.budgets.get(key_subject(caller.key), ())


def known_key(stored: StoredKey, tenant: Tenant) -> KnownKey:
    """Return a key with its caller."""
    caller = Caller(tenant.id, tenant.scope, stored.isolate_by, None, stored.id, stored.permissions)
    return KnownKey(stored, caller)


def the_caller(found: Sequence[Recognised]) -> Caller | None:
    """Return the one caller of a request's keys, of which others may be placeholders; None where all are unknown.

    Raises AuthenticationFailed for a key that is refused where no other is good, and for two good ones: of two keys
    nobody could say whose permissions and budgets count.
    """
    callers = {one.caller for one in found if one.caller is not None}
    if len(callers) > 1:
        same = len({caller.name for caller in callers}) == 1
        whose = "two API keys" if same else "the API keys of two tenants"
        raise AuthenticationFailed(f"The request has {whose}. Send one of them.")
    refusals = [one.refusal for one in found if one.refusal is not None]
    if not callers and refusals:
        raise AuthenticationFailed(refusals[0])
    return callers.pop() if callers else None

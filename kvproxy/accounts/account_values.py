"""Values of accounts: tenants, stored and new API keys, budgets."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args

from kvproxy.core import IsolateBy, Permission
from kvproxy.core.money import MOST_NANO
from kvproxy.errors import InvalidRequest

Period = Literal["minute", "day", "month"]
PERIODS: tuple[Period, ...] = get_args(Period)

TENANT_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""Names of tenants that are made here. Those of the configuration's keys may be any text."""

MOST_LABEL = 200
"""Characters of a key's label."""

_TENANT = re.compile(TENANT_PATTERN)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant: the name that its keys, documents and money belong to."""

    id: str
    scope: str
    """The scope of its pages."""
    created_ms: int
    credit_nano: int | None
    """Nano-units that the balance may go below zero; None: without a limit."""
    closed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CreditLimit:
    """A limit of credit: nano-units that a balance may go below zero; None: without a limit."""

    nano: int | None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """An API key as it is kept: without the key."""

    id: str
    tenant: str
    hint: str
    """The end of the key, by which a person tells it from others."""
    permissions: frozenset[Permission]
    isolate_by: IsolateBy | None
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    label: str | None = None

    def refusal(self, now_ms: int) -> str | None:
        """Return why the key is refused at a time, and what to do; None while it is good."""
        if self.revoked_ms is not None:
            return f"This API key was revoked on {utc(self.revoked_ms)}. Ask the proxy's operator for another one."
        if self.expires_ms is not None and self.expires_ms <= now_ms:
            return (
                f"This API key expired on {utc(self.expires_ms)}. Ask the proxy's operator for another one."
            )
        return None


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """An API key that is to be made."""

    tenant: str
    permissions: frozenset[Permission]
    label: str | None = None
    expires_ms: int | None = None
    isolate_by: IsolateBy | None = None

    def check(self) -> None:
        """Raise InvalidRequest for a key that would be of no use."""
        if not self.permissions:
            raise InvalidRequest("Invalid 'scopes': name at least one scope.", param="scopes")
        if self.label is not None and not (len(self.label) <= MOST_LABEL and storable(self.label)):
            raise InvalidRequest(
                f"Invalid 'label': must be text of at most {MOST_LABEL} characters.", param="label"
            )
        if self.expires_ms is not None and self.expires_ms <= now_ms():
            raise InvalidRequest("Invalid 'expires_in_s': the key would have expired already.")


@dataclass(frozen=True, slots=True)
class NewKey:
    """An API key that was just made. Its text is here and nowhere else: whoever loses it needs another key."""

    text: str = field(repr=False)
    stored: StoredKey


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a tenant or an API key for each period. None: no limit of that kind."""

    subject: str
    """``tenant:alice`` or ``key:ID``."""
    period: Period
    tokens: int | None = None
    nano: int | None = None
    requests: int | None = None

    @property
    def empty(self) -> bool:
        """True when it limits nothing."""
        return self.tokens is None and self.nano is None and self.requests is None


def tenant_subject(tenant: str) -> str:
    """Return the subject of a tenant's budgets."""
    return f"tenant:{tenant}"


def key_subject(key: str) -> str:
    """Return the subject of an API key's budgets."""
    return f"key:{key}"


def checked_tenant(name: str) -> str:
    """Return a tenant's name unchanged. Raises InvalidRequest."""
    if _TENANT.fullmatch(name) is None:
        raise InvalidRequest(
            "Invalid 'tenant': a tenant has a name of up to 64 letters, digits and . _ -, the first a letter or digit.",
            param="tenant",
        )
    return name


def storable(text: str) -> bool:
    """Return whether both databases can store and look up a text: UTF-8 without NUL."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def shown_id(id: str) -> str:
    """Return the beginning of an id that a client sent, for a message; nothing of what no answer can hold."""
    return id[:64] if storable(id) else "…"


def checked_limit(value: int | None, *, param: str) -> int | None:
    """Return a limit unchanged. Raises InvalidRequest unless it is None or can be stored."""
    if value is not None and not 0 <= value <= MOST_NANO:
        raise InvalidRequest(f"Invalid '{param}': must be from 0 to {MOST_NANO}.", param=param)
    return value


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 10**6


def utc(ms: int) -> str:
    """Write Unix milliseconds for people: ``2026-11-29 21:40 UTC``."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")

"""Types of the answers of ``/kv/v1/keys``, ``/kv/v1/tenants`` and ``/kv/v1/grants``."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.accounts.account_values import Period
from kvproxy.accounts.grant_values import ReaderKind
from kvproxy.core import IsolateBy, Permission
from kvproxy.wire.market.quote_types import MoneyBody


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

"""The operations of an administrator: API keys, tenants and their budgets."""

from __future__ import annotations

from kvproxy.errors import AccountNotFound, AlreadyUsed, InvalidRequest, RouteNotFound, Unavailable
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.error_groups import BODY
from kvproxy.server.routes import keys_route
from kvproxy.wire.kv_accounts.account_bodies import (
    MOST_SECONDS,
    KeyChangeBody,
    NewKeyBody,
    NewTenantBody,
    TenantChangeBody,
)
from kvproxy.wire.kv_accounts.account_views import KvKey, KvKeyList, KvNewKey, KvTenant, KvTenantList

_TAG = "Accounts"
_KEYS = "/kv/v1/keys"
_TENANTS = "/kv/v1/tenants"
_TEXT = {"type": "string", "minLength": 1, "maxLength": 64}
_KEY = Parameter("key", "path", _TEXT, "An API key's id: not the key itself.", "key_0123456789abcdef")
_TENANT = Parameter("tenant", "path", _TEXT, "A tenant's name.", "alice")
_OVERLAP = Parameter(
    "overlap_s",
    "query",
    {"type": "integer", "minimum": 0, "maximum": MOST_SECONDS, "default": 0},
    "Seconds that the old key stays good for.",
    "3600",
)

ACCOUNTS = (
    Operation(
        id="createKey",
        method="POST",
        path=_KEYS,
        handler=keys_route.create_key,
        needs="admin",
        tag=_TAG,
        summary="Make an API key",
        description="The answer shows the key; only a keyed hash of it is kept.",
        body=NewKeyBody,
        answers=(DocumentedAnswer(KvNewKey, 201, "The key.", headers=("Cache-Control",)),),
        errors=(*BODY, AccountNotFound, RouteNotFound, Unavailable),
        example={"tenant": "alice", "scopes": ["read"], "label": "laptop", "expires_in_s": 2_592_000},
    ),
    Operation(
        id="listKeys",
        method="GET",
        path=_KEYS,
        handler=keys_route.list_keys,
        needs="admin",
        tag=_TAG,
        summary="List the API keys",
        description="Those of the database, without the keys themselves; not those of `server.api_keys`.",
        parameters=(Parameter("tenant", "query", _TEXT, "Only this tenant's.", "alice"),),
        answers=(DocumentedAnswer(KvKeyList, description="The keys, the oldest first."),),
        errors=(RouteNotFound,),
    ),
    Operation(
        id="changeKey",
        method="POST",
        path=f"{_KEYS}/{{key}}",
        handler=keys_route.change_key,
        needs="admin",
        tag=_TAG,
        summary="Set an API key's budgets",
        parameters=(_KEY,),
        body=KeyChangeBody,
        answers=(DocumentedAnswer(KvKey, description="The key as it is now."),),
        errors=(*BODY, AccountNotFound, RouteNotFound, Unavailable),
        example={"budgets": [{"period": "minute", "requests": 60}]},
    ),
    Operation(
        id="rotateKey",
        method="POST",
        path=f"{_KEYS}/{{key}}/rotate",
        handler=keys_route.rotate_key,
        needs="admin",
        tag=_TAG,
        summary="Replace an API key",
        description="The new key has the old one's tenant, scopes, budgets and expiry.",
        parameters=(_KEY, _OVERLAP),
        answers=(DocumentedAnswer(KvNewKey, description="The new key.", headers=("Cache-Control",)),),
        errors=(InvalidRequest, AccountNotFound, RouteNotFound, Unavailable),
    ),
    Operation(
        id="revokeKey",
        method="DELETE",
        path=f"{_KEYS}/{{key}}",
        handler=keys_route.revoke_key,
        needs="admin",
        tag=_TAG,
        summary="Revoke an API key",
        description="Refused from now on by this process, and within seconds by others on the same database.",
        parameters=(_KEY,),
        answers=(DocumentedAnswer(KvKey, description="The key as it is now."),),
        errors=(AccountNotFound, RouteNotFound, Unavailable),
    ),
    Operation(
        id="createTenant",
        method="POST",
        path=_TENANTS,
        handler=keys_route.create_tenant,
        needs="admin",
        tag=_TAG,
        summary="Make a tenant",
        body=NewTenantBody,
        answers=(DocumentedAnswer(KvTenant, 201, "The tenant."),),
        errors=(*BODY, AlreadyUsed, RouteNotFound, Unavailable),
        example={"id": "bob", "credit": "5.00"},
    ),
    Operation(
        id="listTenants",
        method="GET",
        path=_TENANTS,
        handler=keys_route.list_tenants,
        needs="admin",
        tag=_TAG,
        summary="List the tenants",
        answers=(DocumentedAnswer(KvTenantList, description="The tenants by name."),),
        errors=(RouteNotFound,),
    ),
    Operation(
        id="retrieveTenant",
        method="GET",
        path=f"{_TENANTS}/{{tenant}}",
        handler=keys_route.get_tenant,
        needs="admin",
        tag=_TAG,
        summary="Get a tenant",
        parameters=(_TENANT,),
        answers=(DocumentedAnswer(KvTenant, description="The tenant."),),
        errors=(AccountNotFound, RouteNotFound),
    ),
    Operation(
        id="changeTenant",
        method="POST",
        path=f"{_TENANTS}/{{tenant}}",
        handler=keys_route.change_tenant,
        needs="admin",
        tag=_TAG,
        summary="Set a tenant's credit and budgets, or close it",
        parameters=(_TENANT,),
        body=TenantChangeBody,
        answers=(DocumentedAnswer(KvTenant, description="The tenant as it is now."),),
        errors=(*BODY, AccountNotFound, RouteNotFound, Unavailable),
        example={
            "credit": "unlimited",
            "budgets": [{"period": "day", "tokens": 1_000_000, "amount": "2.50"}],
        },
    ),
)

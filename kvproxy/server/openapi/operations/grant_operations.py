"""The operations of a publisher on its grants."""

from __future__ import annotations

from kvproxy.errors import AccountNotFound, RouteNotFound, Unavailable
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.error_groups import BODY
from kvproxy.server.routes import grants_route
from kvproxy.wire.kv_accounts.account_bodies import NewGrantBody
from kvproxy.wire.kv_accounts.account_views import KvGrant, KvGrantList

_TAG = "Grants"
_PATH = "/kv/v1/grants"
_GRANT = Parameter(
    "grant",
    "path",
    {"type": "string", "minLength": 1, "maxLength": 64},
    "A grant's id.",
    "grant_0123456789abcdef",
)

GRANTS = (
    Operation(
        id="createGrant",
        method="POST",
        path=_PATH,
        handler=grants_route.create_grant,
        needs="publish",
        tag=_TAG,
        summary="Grant a document",
        description=(
            "Lets one reader, or everybody, load a document of the caller's own by reference. Of several grants the "
            "one counts that names the reader most exactly: the key, then the tenant, then everybody."
        ),
        body=NewGrantBody,
        answers=(DocumentedAnswer(KvGrant, 201, "The grant."),),
        errors=(*BODY, RouteNotFound, Unavailable),
        example={"document": "handbook", "reader": "tenant", "id": "bob", "max_reads": 1000},
    ),
    Operation(
        id="listGrants",
        method="GET",
        path=_PATH,
        handler=grants_route.list_grants,
        needs="publish",
        tag=_TAG,
        summary="List the caller's grants",
        answers=(
            DocumentedAnswer(KvGrantList, description="The grants, the oldest first; revoked ones too."),
        ),
        errors=(RouteNotFound,),
    ),
    Operation(
        id="revokeGrant",
        method="DELETE",
        path=f"{_PATH}/{{grant}}",
        handler=grants_route.revoke_grant,
        needs="publish",
        tag=_TAG,
        summary="Revoke a grant",
        parameters=(_GRANT,),
        answers=(DocumentedAnswer(KvGrant, description="The grant as it is now."),),
        errors=(AccountNotFound, RouteNotFound, Unavailable),
    ),
)

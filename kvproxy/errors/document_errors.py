"""Errors of documents: a text that cannot be published, and a version that is not served, or not to this caller."""

from __future__ import annotations

from http import HTTPStatus

from kvproxy.errors.error_base import KVProxyError
from kvproxy.errors.request_errors import InvalidRequest, NotFound, PermissionDenied


class DocumentRejected(InvalidRequest):
    """A text or an id that cannot be published; the message says why. Status 400."""

    code = "document_rejected"


class PreconditionFailed(KVProxyError):
    """The content is not what ``If-Match`` or ``If-None-Match`` asks for; nothing was changed. Status 412."""

    status = HTTPStatus.PRECONDITION_FAILED
    type = "invalid_request_error"
    code = "precondition_failed"


class DocumentQuotaExceeded(PermissionDenied):
    """The tenant has published as much as it may: it deletes something, or its operator raises the quota. Status 403,
    which clients do not repeat by themselves, as they would a 429 or a 503."""

    type = "insufficient_quota"
    code = "document_quota_exceeded"


class DocumentNotFound(NotFound):
    """No document of this name, or none that the API key may read: the two cannot be told apart. Status 404."""

    code = "document_not_found"

    def __init__(self, document: str, *, param: str | None = None) -> None:
        super().__init__(f"No such document: '{document}'. Publish it with `kvproxy publish`.", param=param)


class Gone(KVProxyError):
    """The base of what was here and is not served any more. Status 410."""

    status = HTTPStatus.GONE
    type = "invalid_request_error"


class DocumentRevoked(Gone):
    """A version that its publisher has revoked: it is never served again. Status 410."""

    code = "document_revoked"

    def __init__(self, document: str, reason: str, *, param: str | None = None) -> None:
        super().__init__(
            f"'{document}' was revoked by its publisher ({reason[:256]}); use another version.", param=param
        )


class DocumentExpired(Gone):
    """A version whose time has ended. Status 410."""

    code = "document_expired"

    def __init__(self, document: str, expires: int, *, param: str | None = None) -> None:
        super().__init__(
            f"'{document}' has expired (at {expires}, Unix time). Its publisher can touch it, or publish again.",
            param=param,
        )

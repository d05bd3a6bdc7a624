"""Errors in Anthropic's format.

Two statuses change, because Anthropic's clients know only those that its API has: 503 becomes 529 ``overloaded_error``,
which they retry. A full queue stays 429 ``rate_limit_error``: it is retried too, and ``Retry-After`` is honoured with
both.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from kvproxy.errors import ContextTooLong, KVProxyError, PaymentRequired
from kvproxy.wire.anthropic.types import ErrorBody, ErrorDetail, ErrorType

OVERLOADED = 529

_TYPES: dict[int, ErrorType] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}


def anthropic_status(status: int) -> int:
    """Return the HTTP status that this dialect uses for one of ours."""
    return OVERLOADED if status == HTTPStatus.SERVICE_UNAVAILABLE else status


def error_type(status: int) -> ErrorType:
    """Return Anthropic's error type for an HTTP status."""
    server = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return _TYPES.get(status, "api_error" if server else "invalid_request_error")


def error_body(error: KVProxyError, request_id: str) -> ErrorBody:
    """Return Anthropic's error object. ``request_id`` is the one of the ``request-id`` header."""
    fields = error.body()["error"]
    detail: ErrorDetail = {"type": error_type(error.http_status), "message": _message(error, fields)}
    if isinstance(code := fields.get("code"), str):
        detail["details"] = {"error_code": code}
    body: ErrorBody = {"type": "error", "error": detail, "request_id": request_id}
    if isinstance(error, PaymentRequired) and error.quote is not None:
        body["quote"] = error.quote
    return body


def _message(error: KVProxyError, fields: Mapping[str, object]) -> str:
    """Return the message; agents that shorten their own history recognise a long prompt by Anthropic's wording."""
    if not isinstance(error, ContextTooLong):
        message = fields.get("message")
        return message if isinstance(message, str) else error.message
    if error.prompt_tokens >= error.limit:
        return f"prompt is too long: {error.prompt_tokens} tokens > {error.limit} maximum"
    return (
        f"input length and `max_tokens` exceed context limit: {error.prompt_tokens} + {error.completion_tokens}"
        f" > {error.limit}, decrease input length or `max_tokens` and try again"
    )

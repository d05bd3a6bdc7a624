"""Every error the proxy shows, in one tree, each with its HTTP status.

::

    KVProxyError                      500  server_error
    ├─ InvalidRequest                 400  invalid_request_error
    │  ├─ ContextTooLong              400  context_length_exceeded
    │  ├─ UnsupportedParameter        400  unsupported_parameter
    │  │  └─ UnsupportedThread        400  thread_unsupported_request
    │  ├─ UnsupportedSchema           400  unsupported_schema
    │  ├─ CannotFit                   400  page_budget_exceeded
    │  ├─ PreviousResponseNotFound    400  previous_response_not_found
    │  ├─ UnreadableBody              400  unreadable_body
    │  ├─ UnsupportedEncoding         415  unsupported_encoding
    │  ├─ ExpectationFailed           417  expectation_failed
    │  ├─ HeadTooLarge                431  request_head_too_large
    │  └─ DocumentRejected            400  document_rejected
    ├─ AuthenticationFailed           401  invalid_api_key
    ├─ PermissionDenied               403  permission_denied
    │  └─ OriginRefused               403  origin_refused
    ├─ NotFound                       404
    │  ├─ ModelNotFound               404  model_not_found
    │  ├─ DocumentNotFound            404  document_not_found
    │  ├─ ResponseNotFound            404  response_not_found
    │  └─ RouteNotFound               404  unknown_url
    ├─ MethodNotAllowed               405  method_not_allowed
    ├─ BodyTooLarge                   413  request_too_large
    ├─ Overloaded                     429  engine_busy         Retry-After
    ├─ TimedOut                       504  timeout
    ├─ Unavailable                    503                      Retry-After
    │  ├─ ShuttingDown                503  shutting_down
    │  ├─ NotReady                    503  not_ready
    │  └─ StorageFull                 503  storage_full
    ├─ UpstreamError                  (the upstream's own status)
    ├─ HitLost                        never shown: the hit path turns it into a miss
    └─ SetupError                     never over HTTP: one sentence on the command line

``server/middleware/error_responses.py`` is the only place that turns them into responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from kvproxy.core import MissReason

MOST_TOLD = 1000
"""Characters of a message: it may quote a client or an upstream, and goes into the log."""


def cut(text: str, most: int) -> str:
    """Cut ``text`` to its first ``most`` characters, with a mark where any were left out."""
    return text if len(text) <= most else f"{text[: max(0, most - 1)]}…"


class KVProxyError(Exception):
    """Base of all errors with a meaning outside this process.

    ``message`` states the fault and the remedy; ``param`` names the offending field, as OpenAI does. Both are cut.
    """

    status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        self.message = cut(message, MOST_TOLD)
        self.param = None if param is None else cut(param, 256)
        super().__init__(self.message)

    @property
    def http_status(self) -> int:
        return int(self.status)

    @property
    def retry_after_s(self) -> int | None:
        """Seconds for ``Retry-After``; None when trying again will not help."""
        return None

    def body(self) -> dict[str, Any]:
        """Return OpenAI's error body; all four keys are required by its spec."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class InvalidRequest(KVProxyError):
    status = HTTPStatus.BAD_REQUEST
    type = "invalid_request_error"


class ContextTooLong(InvalidRequest):
    """A prompt longer than the model's context.

    The message ends with the code: agents that then shorten their history look for it there, since openai's client
    from version 3 on shows them the message alone.
    """

    code = "context_length_exceeded"

    def __init__(
        self,
        *,
        limit: int,
        prompt_tokens: int,
        completion_tokens: int,
        at_least: bool = False,
        param: str = "messages",
    ) -> None:
        """Compose the message. With ``at_least`` the prompt was not tokenized to its end, and has more than
        ``prompt_tokens``.

        Example:
            ``raise ContextTooLong(limit=32768, prompt_tokens=40000, completion_tokens=100)``
        """
        needs = "needs at least" if at_least else "needs"
        super().__init__(
            f"This model's maximum context length is {limit} tokens. However, your request {needs} "
            f"{prompt_tokens + completion_tokens} tokens ({prompt_tokens} in the messages, "
            f"{completion_tokens} in the completion). Please reduce the length of the messages or completion. "
            "(context_length_exceeded)",
            param=param,
        )
        self.limit = limit
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens


class UnsupportedParameter(InvalidRequest):
    code = "unsupported_parameter"


class UnsupportedThread(UnsupportedParameter):
    """A request for Anthropic's server-held conversations. Its clients know the code, and then send the whole
    conversation."""

    code = "thread_unsupported_request"


class UnsupportedSchema(InvalidRequest):
    """A JSON schema that cannot be enforced; the message names the keyword."""

    code = "unsupported_schema"


class CannotFit(InvalidRequest):
    """A request that needs more pages than the whole page budget has."""

    code = "page_budget_exceeded"


class PreviousResponseNotFound(InvalidRequest):
    """An unknown ``previous_response_id``. As in OpenAI's API it is a fault of the request, not of its address."""

    code = "previous_response_not_found"

    def __init__(self, id: str) -> None:
        super().__init__(f"Previous response with id '{id}' not found.", param="previous_response_id")


class DocumentRejected(InvalidRequest):
    code = "document_rejected"


class UnreadableBody(InvalidRequest):
    """A body that broke off, or is not packed as its headers say. Its connection cannot be used for another
    request."""

    code = "unreadable_body"


class UnsupportedEncoding(InvalidRequest):
    """A Content-Encoding that this server does not decode."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_encoding"


class ExpectationFailed(InvalidRequest):
    status = HTTPStatus.EXPECTATION_FAILED
    code = "expectation_failed"


class HeadTooLarge(InvalidRequest):
    """A URL, a header or a head that is too large."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    code = "request_head_too_large"


class AuthenticationFailed(KVProxyError):
    status = HTTPStatus.UNAUTHORIZED
    type = "invalid_request_error"
    code = "invalid_api_key"


class PermissionDenied(KVProxyError):
    status = HTTPStatus.FORBIDDEN
    type = "invalid_request_error"
    code = "permission_denied"


class OriginRefused(PermissionDenied):
    """A request from another site's page to a proxy without API keys."""

    code = "origin_refused"


class NotFound(KVProxyError):
    status = HTTPStatus.NOT_FOUND
    type = "invalid_request_error"


class ModelNotFound(NotFound):
    """A model name that is not served; the message lists the first of the ``served`` names."""

    code = "model_not_found"
    MOST_TOLD: ClassVar[int] = 20

    def __init__(self, model: str, served: Sequence[str] = ()) -> None:
        more = len(served) - self.MOST_TOLD
        names = ", ".join(f"`{name}`" for name in served[: self.MOST_TOLD])
        told = f" Served here: {names}{f' and {more} more' if more > 0 else ''}." if served else ""
        super().__init__(
            f"The model `{model[:128]}` does not exist or you do not have access to it.{told}", param="model"
        )


class DocumentNotFound(NotFound):
    code = "document_not_found"

    def __init__(self, document: str, *, param: str | None = None) -> None:
        super().__init__(f"No such document: '{document}'. Publish it with `kvproxy publish`.", param=param)


class ResponseNotFound(NotFound):
    """A stored response that never existed, has expired, was deleted, or belongs to another tenant."""

    code = "response_not_found"

    def __init__(self, id: str, *, param: str | None = None) -> None:
        super().__init__(f"Response with id '{id}' not found. Stored responses expire.", param=param)


class RouteNotFound(NotFound):
    code = "unknown_url"


class MethodNotAllowed(KVProxyError):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    type = "invalid_request_error"
    code = "method_not_allowed"


class BodyTooLarge(KVProxyError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    type = "invalid_request_error"
    code = "request_too_large"


class Retryable(KVProxyError):
    """An error with ``Retry-After``.

    Example:
        ``raise Overloaded("The engine's queue is full.", retry_after_s=2)``
    """

    def __init__(self, message: str, *, retry_after_s: int = 1, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> int | None:
        return self._retry_after_s


class Overloaded(Retryable):
    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "rate_limit_error"
    code = "engine_busy"


class TimedOut(KVProxyError):
    """A request that took longer than ``server.timeout_s``; another try would take as long."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    type = "server_error"
    code = "timeout"


class Unavailable(Retryable):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "server_error"
    code = "unavailable"


class ShuttingDown(Unavailable):
    code = "shutting_down"


class NotReady(Unavailable):
    code = "not_ready"


class StorageFull(Unavailable):
    code = "storage_full"


class UpstreamError(KVProxyError):
    """An upstream's failure, with the upstream's status and, where it had one, its error body.

    Example:
        ``raise UpstreamError("The upstream is overloaded.", status=529, retry_after_s=5)``
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        error: dict[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self._status = status
        self._error = _cut_fields(error or {})
        self._retry_after_s = retry_after_s

    @property
    def http_status(self) -> int:
        return self._status

    @property
    def retry_after_s(self) -> int | None:
        return self._retry_after_s

    def body(self) -> dict[str, Any]:
        error = {"message": self.message, "type": "upstream_error", "param": None, "code": None}
        error.update(self._error)
        return {"error": error}


def _cut_fields(error: dict[str, Any]) -> dict[str, Any]:
    """Return an upstream's error object in bounded size: its texts cut, its large nested values left out."""
    kept = dict(list(error.items())[:32])
    told = {cut(k, 64): cut(v, MOST_TOLD) if isinstance(v, str) else v for k, v in kept.items()}
    return {
        k: v for k, v in told.items() if not isinstance(v, dict | list | int) or len(repr(v)) <= 4 * MOST_TOLD
    }


class HitLost(KVProxyError):
    """Pages that a lookup promised and that could not be used; nothing was sent yet."""

    def __init__(self, message: str, reason: MissReason) -> None:
        super().__init__(message)
        self.reason = reason


class SetupError(KVProxyError):
    """A failed start. The message is one sentence with the choices of the operator."""

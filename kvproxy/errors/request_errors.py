"""Errors of requests: what a client sent cannot be served as it is, or is not there for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from kvproxy.errors.error_base import KVProxyError


class InvalidRequest(KVProxyError):
    """The request cannot be served as it is; the message names what to change. Status 400."""

    status = HTTPStatus.BAD_REQUEST
    type = "invalid_request_error"


class ContextTooLong(InvalidRequest):
    """The prompt and its answer exceed the model's context. Status 400.

    The message ends with the code: agents that then shorten their history look for it there, since openai's client
    from version 3 on shows them nothing but the message.
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
    """A field or value that is not implemented here; ``param`` names it. Status 400."""

    code = "unsupported_parameter"


class UnsupportedThread(UnsupportedParameter):
    """One of Anthropic's server-held conversations. Status 400.

    Its clients know the code, and send the whole conversation then.
    """

    code = "thread_unsupported_request"


class UnsupportedSchema(InvalidRequest):
    """A JSON schema that cannot be enforced; the message names the keyword. Status 400."""

    code = "unsupported_schema"


class CannotFit(InvalidRequest):
    """The request needs more pages than the whole page budget has. Status 400."""

    code = "page_budget_exceeded"


class PreviousResponseNotFound(InvalidRequest):
    """``previous_response_id`` names no stored response. Status 400, as OpenAI has it: the request is at fault, not
    its address."""

    code = "previous_response_not_found"

    def __init__(self, id: str) -> None:
        super().__init__(f"Previous response with id '{id}' not found.", param="previous_response_id")


class UnreadableBody(InvalidRequest):
    """The body broke off, or is not packed as it says. Status 400.

    Nothing that follows on its connection can be trusted.
    """

    code = "unreadable_body"


class UnsupportedEncoding(InvalidRequest):
    """A Content-Encoding that is not undone here. Status 415."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_encoding"


class ExpectationFailed(InvalidRequest):
    """An ``Expect`` header other than ``100-continue``. Status 417."""

    status = HTTPStatus.EXPECTATION_FAILED
    code = "expectation_failed"


class HeadTooLarge(InvalidRequest):
    """The URL, a header or all of them together exceed the limits of a request's head. Status 431."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    code = "request_head_too_large"


class AuthenticationFailed(KVProxyError):
    """No API key, an unknown one, or those of two tenants. Status 401."""

    status = HTTPStatus.UNAUTHORIZED
    type = "invalid_request_error"
    code = "invalid_api_key"


class PaymentRequired(KVProxyError):
    """The balance does not cover the price; the message says how to pay. Status 402.

    ``quote`` is the quote object that the body carries, as JSON; ``headers`` are those of the payment protocols.
    """

    status = HTTPStatus.PAYMENT_REQUIRED
    type = "insufficient_balance"
    code = "payment_required"

    def __init__(
        self,
        message: str,
        *,
        quote: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        param: str | None = None,
    ) -> None:
        """Take the message, and the quote with the headers where a payment is accepted.

        Example:
            ``raise PaymentRequired("The balance is 0 USD and the request may cost 0.02 USD.", quote=quote)``
        """
        super().__init__(message, param=param)
        self.quote = dict(quote) if quote is not None else None
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return OpenAI's error body, with ``quote`` beside ``error`` where there is one."""
        body = super().body()
        return body if self.quote is None else {**body, "quote": self.quote}


class QuotaExceeded(KVProxyError):
    """A budget or rate limit of the key or the tenant is used up; the message names it and its reset. Status 429."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "insufficient_quota"
    code = "insufficient_quota"

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> int | None:
        """Seconds until the period ends."""
        return self._retry_after_s


class AlreadyUsed(KVProxyError):
    """A quote, payment or name that can be used once was used before. Status 409."""

    status = HTTPStatus.CONFLICT
    type = "invalid_request_error"
    code = "already_used"


class PermissionDenied(KVProxyError):
    """The API key is known and may not do this. Status 403."""

    status = HTTPStatus.FORBIDDEN
    type = "invalid_request_error"
    code = "permission_denied"


class OriginRefused(PermissionDenied):
    """A page of a foreign origin asks a proxy that has no API keys. Status 403."""

    code = "origin_refused"


class SignatureRefused(PermissionDenied):
    """A signed quote, receipt or statement that this host's keys did not sign, or that was changed. Status 403."""

    code = "signature_refused"


class NotFound(KVProxyError):
    """The base of all that is missing: a model, a document, a response, a URL. Status 404."""

    status = HTTPStatus.NOT_FOUND
    type = "invalid_request_error"


class AccountNotFound(NotFound):
    """No tenant, API key or grant of this id. Status 404."""

    code = "account_not_found"


class ModelNotFound(NotFound):
    """No model of this name is served. Status 404. ``served`` are the names to choose from, of which the message lists
    the first."""

    code = "model_not_found"
    MOST_TOLD: ClassVar[int] = 20

    def __init__(self, model: str, served: Sequence[str] = ()) -> None:
        more = len(served) - self.MOST_TOLD
        names = ", ".join(f"`{name}`" for name in served[: self.MOST_TOLD])
        told = f" Served here: {names}{f' and {more} more' if more > 0 else ''}." if served else ""
        super().__init__(
            f"The model `{model[:128]}` does not exist or you do not have access to it.{told}", param="model"
        )


class ResponseNotFound(NotFound):
    """A stored response that never existed, has expired, was deleted, or belongs to another tenant. Status 404."""

    code = "response_not_found"

    def __init__(self, id: str, *, param: str | None = None) -> None:
        super().__init__(f"Response with id '{id}' not found. Stored responses expire.", param=param)


class ReceiptNotFound(NotFound):
    """A receipt or request that was never booked, or is another party's: the two cannot be told apart. Status 404."""

    code = "receipt_not_found"

    def __init__(self, id: str) -> None:
        super().__init__(f"No receipt '{id[:128]}' of a read of yours, or of a document that you publish.")


class RouteNotFound(NotFound):
    """A URL that is not served; the message names the one that was probably meant. Status 404."""

    code = "unknown_url"


class MethodNotAllowed(KVProxyError):
    """The URL is served, but not for this HTTP method. Status 405."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    type = "invalid_request_error"
    code = "method_not_allowed"


class BodyTooLarge(KVProxyError):
    """The body exceeds ``server.max_body``, counted after unpacking. Status 413."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    type = "invalid_request_error"
    code = "request_too_large"

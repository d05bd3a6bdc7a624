"""Groups of error responses for the OpenAPI document."""

from __future__ import annotations

from kvproxy.errors import (
    BodyTooLarge,
    CannotFit,
    ContextTooLong,
    DocumentNotFound,
    InvalidRequest,
    ModelNotFound,
    NotReady,
    Overloaded,
    PaymentRequired,
    QuotaExceeded,
    TimedOut,
    UnsupportedParameter,
    UnsupportedSchema,
)

BODY = (InvalidRequest, BodyTooLarge)
"""Errors of every operation with a body."""

PROMPT = (*BODY, UnsupportedParameter, ModelNotFound, DocumentNotFound)
"""Errors of composing a prompt."""

CHARGED = (PaymentRequired, QuotaExceeded)
"""Errors of an operation that has a price, before its work begins."""

GENERATION = (*PROMPT, *CHARGED, ContextTooLong, UnsupportedSchema, CannotFit, Overloaded, NotReady, TimedOut)
"""Errors of generating an answer."""

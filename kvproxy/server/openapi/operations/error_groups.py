"""Which errors go together."""

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
    TimedOut,
    UnsupportedParameter,
    UnsupportedSchema,
)

BODY = (InvalidRequest, BodyTooLarge)
"""Of every operation that reads one."""

PROMPT = (*BODY, UnsupportedParameter, ModelNotFound, DocumentNotFound)
"""Of a prompt that is made, though not answered."""

GENERATION = (*PROMPT, ContextTooLong, UnsupportedSchema, CannotFit, Overloaded, NotReady, TimedOut)

"""The body of ``/kv/v1/explain``: a request for a model as it would be sent, and the other side of the comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from kvproxy.core import DocumentRef
from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.strict import Strict
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.kv_documents.document_ref import REF_PATTERN, parse_document_ref

ExplainedEndpoint = Literal["chat/completions", "responses", "messages"]

_OF_MESSAGES = frozenset(("tool_use", "tool_result", "thinking", "redacted_thinking"))
"""Types of content blocks that only Anthropic's dialect has."""


class ExplainBody(Strict):
    """A body of `/v1/chat/completions`, `/v1/responses` or `/v1/messages`, all fields as they would be sent, with these
    beside them."""

    model_config = ConfigDict(strict=True, extra="allow")

    model: str | None = Field(default=None, description="The local model, also when left out.")
    against: str | None = Field(
        default=None, pattern=REF_PATTERN, description="Compare with this document: `handbook`, `handbook@3`."
    )
    previous: bool | None = Field(
        default=None, description="True: compare with the nearest earlier request of this tenant alone."
    )
    endpoint: ExplainedEndpoint | None = Field(
        default=None, description="The endpoint that the request is for, where its fields do not tell."
    )


@dataclass(frozen=True, slots=True)
class ExplainQuestion:
    """The fields that are not the request's own."""

    against: DocumentRef | None
    previous: bool
    endpoint: ExplainedEndpoint


def take_question(body: dict[str, Any]) -> ExplainQuestion:
    """Take the question's own fields out of a body (modified), and return them. Raises InvalidRequest.

    Example: ``take_question({"model": "qwen", "messages": [...], "previous": True}).endpoint == "chat/completions"``.
    """
    try:
        asked = ExplainBody.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e
    if asked.against is not None and asked.previous:
        raise InvalidRequest(
            "Give either 'against' or 'previous', or neither for the nearest of all.", param="against"
        )
    for name in ("against", "previous", "endpoint"):
        body.pop(name, None)
    against = None if asked.against is None else parse_document_ref(asked.against, param="against")
    return ExplainQuestion(against, bool(asked.previous), asked.endpoint or _endpoint(body))


def _endpoint(body: dict[str, Any]) -> ExplainedEndpoint:
    """Return the endpoint that a body is for. Of a conversation that both could take, chat completions."""
    if "input" in body or "instructions" in body:
        return "responses"
    if "messages" not in body:
        raise InvalidRequest(
            "Give a request with 'messages', or with 'input', as it would be sent to the model.",
            param="messages",
        )
    return "messages" if "system" in body or _has_blocks(body) else "chat/completions"


def _has_blocks(body: dict[str, Any]) -> bool:
    tools, messages = body.get("tools"), body["messages"]
    if isinstance(tools, list) and any(isinstance(tool, dict) and "input_schema" in tool for tool in tools):
        return True
    contents = (
        [m.get("content") for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []
    )
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return any(isinstance(block, dict) and block.get("type") in _OF_MESSAGES for block in blocks)

"""A chat completion body, as OpenAI defines it, to a :class:`ChatRequest` for the local model.

Parts of a message stay apart here. They are joined with one newline when they are rendered, so that a text
and a reference to it give the same tokens.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kvproxy.core import ChatRequest, DocumentPart, Message, Part, Role, Sampling, TextPart
from kvproxy.errors import InvalidRequest, ModelNotFound
from kvproxy.wire.document_ref import parse_document_ref
from kvproxy.wire.faults import invalid
from kvproxy.wire.unsupported import refuse_unsupported, refuse_unsupported_message

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}

_OWN_TEMPLATE_VARIABLES = ("messages", "tools", "documents", "add_generation_prompt")
"""Set from the request itself; a client that could replace them could replace the conversation."""

_PART_FIELDS = {"text": "text", "refusal": "refusal", "kv_document": "document"}


def parse_chat(body: dict[str, Any], *, served_name: str) -> ChatRequest:
    """Raises InvalidRequest or UnsupportedParameter naming the field; ModelNotFound for another model.

    Unknown fields are accepted, as clients send ``metadata``, ``store``, ``user`` and many more.
    """
    messages = body.get("messages")
    if isinstance(messages, list):
        # Before types are checked, since a tool message is well-formed in ways the models below do not know.
        for index, message in enumerate(messages):
            if isinstance(message, dict):
                refuse_unsupported_message(message, f"messages[{index}]")
    try:
        chat = _Chat.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e
    refuse_unsupported(body)
    if chat.model != served_name:
        raise ModelNotFound(chat.model)
    return ChatRequest(
        model=chat.model,
        messages=tuple(_message(m, f"messages[{i}]") for i, m in enumerate(chat.messages)),
        sampling=_sampling(chat),
        stream=bool(chat.stream),
        include_usage=chat.stream_options is not None and bool(chat.stream_options.include_usage),
        template_kwargs=_template_kwargs(chat.chat_template_kwargs or {}),
    )


def _as_parts(content: object) -> object:
    """A string is one text part, null is none: after this there is one shape, so faults have one path."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if content is None:
        return []
    if not isinstance(content, list):
        raise ValueError("must be a string or an array of content parts")
    return content


def _as_stops(stop: object) -> object:
    return [stop] if isinstance(stop, str) else stop


_Stops = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=4)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _PartBody(_Strict):
    type: Literal["text", "refusal", "kv_document"]
    text: str | None = None
    refusal: str | None = None
    document: str | None = None

    @property
    def value(self) -> str | None:
        value: str | None = getattr(self, _PART_FIELDS[self.type])
        return value


class _MessageBody(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[_PartBody], BeforeValidator(_as_parts)] = Field(default_factory=list)
    refusal: str | None = None


class _StreamOptions(_Strict):
    include_usage: bool | None = None


class _Chat(_Strict):
    model: str = Field(min_length=1)
    messages: list[_MessageBody] = Field(min_length=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: Annotated[_Stops | None, BeforeValidator(_as_stops)] = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    chat_template_kwargs: dict[str, Any] | None = None


def _message(message: _MessageBody, where: str) -> Message:
    parts = tuple(_part(p, message.role, f"{where}.content[{i}]") for i, p in enumerate(message.content))
    if not parts and message.role == "assistant":
        parts = (TextPart(message.refusal or ""),)
    if not parts:
        raise InvalidRequest(
            f"Invalid '{where}.content': a {message.role} message needs a string or content parts.",
            param=f"{where}.content",
        )
    return Message(_ROLES[message.role], parts)


def _part(part: _PartBody, role: str, where: str) -> Part:
    if part.type == "refusal" and role != "assistant":
        raise InvalidRequest(
            f"Invalid '{where}.type': only assistant messages have refusals.", param=f"{where}.type"
        )
    field = f"{where}.{_PART_FIELDS[part.type]}"
    if part.value is None:
        raise InvalidRequest(f"Missing required parameter: '{field}'.", param=field)
    if part.type != "kv_document":
        return TextPart(part.value)
    if role == "assistant":
        raise InvalidRequest(
            f"Invalid '{where}.type': a document stands in a system or user message.", param=f"{where}.type"
        )
    return DocumentPart(parse_document_ref(part.value, param=field))


def _sampling(chat: _Chat) -> Sampling:
    completion = chat.max_completion_tokens if chat.max_completion_tokens is not None else chat.max_tokens
    return Sampling(
        temperature=1.0 if chat.temperature is None else chat.temperature,
        top_p=1.0 if chat.top_p is None else chat.top_p,
        top_k=chat.top_k or 0,
        seed=chat.seed,
        max_tokens=completion,
        stop=tuple(chat.stop or ()),
    )


def _template_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    for name in _OWN_TEMPLATE_VARIABLES:
        if name in kwargs:
            param = f"chat_template_kwargs.{name}"
            raise InvalidRequest(
                f"Invalid '{param}': this variable is set from the request itself.", param=param
            )
    return kwargs

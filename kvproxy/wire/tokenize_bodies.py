"""``/tokenize`` and ``/detokenize``, shaped as vLLM's."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError
from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.core import ChatRequest
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.bodies.request_reading import LENIENT, ReadingPolicy
from kvproxy.wire.bodies.strict import ListOf, Strict
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.chat.chat_body import ChatMessageBody
from kvproxy.wire.chat.parse_chat import parse_chat
from kvproxy.wire.tools.chat_tools import ChatToolBody, ToolChoiceField

_CHAT_FIELDS = ("model", "messages", "tools", "tool_choice", "chat_template_kwargs")


class TokenizeBody(Strict):
    """Either ``prompt`` or ``messages``."""

    model: str | None = Field(default=None, description="The local model, also when left out.")
    prompt: str | None = Field(default=None, description="Text, taken as it is: no chat template.")
    messages: ListOf[ChatMessageBody] | None = Field(
        default=None,
        description="A conversation, as for chat completions: the prompt that the model would get.",
    )
    tools: ListOf[ChatToolBody] | None = None
    tool_choice: ToolChoiceField = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_special_tokens: bool | None = Field(
        default=None,
        description="With `prompt`, true by default: the special tokens that the tokenizer adds by itself, if any.",
    )
    add_generation_prompt: bool | None = Field(default=None, description="With `messages`: true only.")
    continue_final_message: bool | None = Field(default=None, description="Not supported.")
    return_token_strs: bool | None = None


class DetokenizeBody(Strict):
    """Token ids whose text is asked for."""

    model: str | None = Field(default=None, description="The local model, also when left out.")
    tokens: ListOf[Annotated[int, Field(ge=0)]]


class Tokens(TypedDict):
    """The token ids of a prompt, and the local model's context window in tokens."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class Detokenized(TypedDict):
    """The text of token ids."""

    prompt: str


def parse_tokenize(body: dict[str, Any]) -> TokenizeBody:
    """Parse a body of ``/tokenize``. Raises InvalidRequest, UnsupportedParameter."""
    try:
        request = TokenizeBody.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e
    if (request.prompt is None) == (request.messages is None):
        raise InvalidRequest("Give either 'prompt' or 'messages'.", param="prompt")
    if request.continue_final_message:
        raise _unsupported("continue_final_message")
    if request.messages is not None and request.add_generation_prompt is False:
        raise _unsupported("add_generation_prompt")
    if request.messages is not None and request.add_special_tokens:
        raise _unsupported("add_special_tokens")
    if body.get("chat_template") is not None:
        raise _unsupported("chat_template")
    return request


def tokenized_chat(body: dict[str, Any], *, served_name: str, policy: ReadingPolicy = LENIENT) -> ChatRequest:
    """Return the conversation of a parsed body, read under ``policy``. Raises a chat completion's errors.

    Example: ``tokenized_chat(body, served_name="qwen").messages``.
    """
    fields = {name: body[name] for name in _CHAT_FIELDS if name in body}
    return parse_chat({**fields, "model": served_name}, served_name=served_name, policy=policy)


def parse_detokenize(body: dict[str, Any]) -> DetokenizeBody:
    """Parse a body of ``/detokenize``. Raises InvalidRequest."""
    try:
        return DetokenizeBody.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e


def _unsupported(name: str) -> UnsupportedParameter:
    return UnsupportedParameter(
        f"Unsupported parameter: '{name}' is not supported with this value. Leave it out.", param=name
    )

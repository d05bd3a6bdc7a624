"""Text completion bodies, as OpenAI defines them, to :class:`TextRequest` values for the local model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeGuard

from pydantic import Field, ValidationError

from kvproxy.core import TextRequest
from kvproxy.errors import InvalidRequest, ModelNotFound, UnsupportedParameter
from kvproxy.wire.answer_formats.engine_fields import EngineFormatsBody
from kvproxy.wire.answer_formats.response_format import ResponseFormatBody, parse_response_format
from kvproxy.wire.bodies.cache_hints import CacheBody
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.bodies.sampling import SamplingBody, StreamOptionsField, include_usage
from kvproxy.wire.bodies.strict import ListOf
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.fields.completion_fields import COMPLETIONS
from kvproxy.wire.fields.screen import screen

MAX_PROMPTS = 128
DEFAULT_MAX_TOKENS = 16
"""OpenAI's default, for this endpoint alone."""


@dataclass(frozen=True, slots=True)
class Completions:
    """A request with its prompts, each of which is served by itself.

    Choice ``i`` of prompt ``p`` has index ``p * n + i``.
    """

    prompts: tuple[TextRequest, ...]
    stream: bool
    include_usage: bool
    echo: bool


def parse_completions(body: dict[str, Any], *, served_name: str) -> Completions:
    """Parse a text completion body.

    Raises InvalidRequest or UnsupportedParameter naming the field; ModelNotFound for another model. Unknown fields are
    accepted.
    """
    screen(body, COMPLETIONS, RequestReading())
    prompts = _prompts(body.get("prompt"))
    try:
        request = CompletionBody.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e
    if request.model != served_name:
        raise ModelNotFound(request.model)
    _refuse(request)
    max_tokens = DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens
    sampling = request.sampling(max_tokens=max_tokens, logprobs=request.logprobs)
    wanted = request.answer_format(parse_response_format(request.response_format), "response_format")
    return Completions(
        prompts=tuple(
            TextRequest(request.model, p, sampling, request.n or 1, request.hints(), wanted) for p in prompts
        ),
        stream=bool(request.stream),
        include_usage=include_usage(request.stream, request.stream_options),
        echo=bool(request.echo),
    )


_Text = Annotated[str, Field(min_length=1)]
_Tokens = Annotated[ListOf[Annotated[int, Field(ge=0)]], Field(min_length=1)]
_Texts = Annotated[ListOf[_Text], Field(min_length=1, max_length=MAX_PROMPTS)]
_ManyTokens = Annotated[ListOf[_Tokens], Field(min_length=1, max_length=MAX_PROMPTS)]


class CompletionBody(SamplingBody, CacheBody, EngineFormatsBody):
    """`POST /v1/completions`: text goes on as it is, without a chat template."""

    model: str = Field(min_length=1)
    prompt: _Text | _Texts | _Tokens | _ManyTokens = Field(
        description="One text, several, one prompt of token ids, or several."
    )
    max_tokens: int | None = Field(default=None, ge=1, description="16 where it is left out.")
    best_of: int | None = Field(default=None, ge=1, description="Must equal `n`.")
    stream: bool | None = None
    stream_options: StreamOptionsField = None
    logprobs: int | None = Field(default=None, ge=0, le=5, description="Alternatives beside each token.")
    echo: bool | None = Field(default=None, description="Put the prompt in front of each choice.")
    response_format: ResponseFormatBody | None = None
    suffix: Any = Field(default=None, description="Not supported by the local model.")
    user: Any = None


def _prompts(prompt: object) -> list[str | tuple[int, ...]]:
    """Return the prompts. Checked by hand: pydantic's error for a union does not help. Ranges are pydantic's."""
    if prompt is None:
        raise InvalidRequest("Missing required parameter: 'prompt'.", param="prompt")
    if isinstance(prompt, str):
        prompts: list[str | tuple[int, ...]] = [prompt]
    elif isinstance(prompt, list) and prompt and all(isinstance(x, str) for x in prompt):
        prompts = list(prompt)
    elif _is_token_ids(prompt):
        prompts = [tuple(prompt)]
    elif isinstance(prompt, list) and prompt and all(_is_token_ids(x) for x in prompt):
        prompts = [tuple(x) for x in prompt]
    else:
        raise InvalidRequest(
            "Invalid 'prompt': must be a string, an array of strings, an array of token ids, or an array of "
            "such arrays; none of them empty.",
            param="prompt",
        )
    if len(prompts) > MAX_PROMPTS:
        raise InvalidRequest(
            f"Invalid 'prompt': at most {MAX_PROMPTS} prompts in one request.", param="prompt"
        )
    if not all(prompts):
        raise InvalidRequest("Invalid 'prompt': a prompt must not be empty.", param="prompt")
    return prompts


def _is_token_ids(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(x) is int and x >= 0 for x in value)


def _refuse(request: CompletionBody) -> None:
    if request.best_of is not None and request.best_of != (request.n or 1):
        raise UnsupportedParameter(
            "Unsupported value: 'best_of' must equal 'n'; choices are not ranked.", param="best_of"
        )
    if request.echo and request.logprobs is not None:
        raise UnsupportedParameter(
            "Unsupported value: 'echo' together with 'logprobs'; the prompt's logprobs are not computed.",
            param="echo",
        )

"""The sampling fields that chat and text completions share, OpenAI's and the ones engines have added."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from kvproxy.core import Sampling
from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.strict import Strict

MOST_CHOICES = 128
MOST_TOP_LOGPROBS = 20


def _as_stops(stop: object) -> object:
    return [stop] if isinstance(stop, str) else stop


_Stop = Annotated[str, Field(min_length=1)]
_StopList = Annotated[list[_Stop], Field(max_length=4)]
Stops = Annotated[
    _StopList | None, BeforeValidator(_as_stops, json_schema_input_type=_Stop | _StopList | None)
]


class SamplingBody(Strict):
    """The sampling settings of a request."""

    temperature: float | None = Field(default=None, ge=0, le=2, description="0 is greedy.")
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, description="Only the likeliest so many; 0 and -1: all.")
    min_p: float | None = Field(
        default=None, ge=0, le=1, description="Only tokens at least so likely, relative to the likeliest."
    )
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(
        default=None, gt=0, le=10, description="Divides the logits of tokens in prompt and answer; 1: none."
    )
    logit_bias: dict[str, float] | None = Field(
        default=None, description="Added to a token's logit, -100 to 100, by token id."
    )
    seed: int | None = Field(
        default=None, ge=-(2**63), le=2**63 - 1, description="The same seed gives the same answer."
    )
    stop: Stops = Field(default=None, description="The answer ends before the first of these texts.")
    stop_token_ids: list[Annotated[int, Field(ge=0)]] | None = Field(default=None, max_length=256)
    min_tokens: int | None = Field(default=None, ge=0, description="The answer does not end before.")
    ignore_eos: bool | None = Field(
        default=None, description="Go on to max_tokens, past the end of the answer."
    )
    n: int | None = Field(default=None, ge=1, le=MOST_CHOICES, description="How many choices.")

    def sampling(self, *, max_tokens: int | None, logprobs: int | None) -> Sampling:
        """Return the sampling settings. ``logprobs`` as :attr:`Sampling.logprobs`. Raises InvalidRequest."""
        min_tokens = self.min_tokens or 0
        if max_tokens is not None and min_tokens > max_tokens:
            raise InvalidRequest(
                f"Invalid 'min_tokens': {min_tokens} is more than the {max_tokens} tokens of the whole answer.",
                param="min_tokens",
            )
        return Sampling(
            temperature=_or(self.temperature, 1.0),
            top_p=_or(self.top_p, 1.0),
            top_k=max(0, self.top_k or 0),
            min_p=_or(self.min_p, 0.0),
            presence_penalty=_or(self.presence_penalty, 0.0),
            frequency_penalty=_or(self.frequency_penalty, 0.0),
            repetition_penalty=_or(self.repetition_penalty, 1.0),
            logit_bias=_logit_bias(self.logit_bias or {}),
            seed=self.seed,
            max_tokens=max_tokens,
            min_tokens=min_tokens,
            ignore_eos=bool(self.ignore_eos),
            stop=tuple(self.stop or ()),
            stop_token_ids=tuple(self.stop_token_ids or ()),
            logprobs=logprobs,
        )


class StreamOptions(Strict):
    """Options of a streamed answer."""

    include_usage: bool | None = Field(default=None, description="Send the usage in a chunk of its own.")


def _as_options(options: object) -> object:
    return options if isinstance(options, dict | StreamOptions) else None


StreamOptionsField = Annotated[
    StreamOptions | None, BeforeValidator(_as_options, json_schema_input_type=StreamOptions | None)
]


def include_usage(stream: bool | None, options: StreamOptions | None) -> bool:
    """Return whether a stream ends with its usage.

    Options of a stream ask for nothing where nothing is streamed: OpenAI refuses them, adapters send them.
    """
    return bool(stream) and options is not None and bool(options.include_usage)


def _or(value: float | None, default: float) -> float:
    return default if value is None else float(value)


def _logit_bias(biases: dict[str, float]) -> tuple[tuple[int, float], ...]:
    found: dict[int, float] = {}
    for key, bias in biases.items():
        if not (key.isascii() and key.isdigit() and len(key) < 10):
            raise InvalidRequest("Invalid 'logit_bias': its names must be token ids.", param="logit_bias")
        if not -100 <= bias <= 100:
            raise InvalidRequest(
                f"Invalid 'logit_bias.{key}': must be from -100 to 100.", param=f"logit_bias.{key}"
            )
        found[int(key)] = float(bias)
    return tuple(sorted(found.items()))

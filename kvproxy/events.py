"""What an answer consists of, as it comes: events, and the usage that ends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kvproxy.core import LeftOut

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""The engine says ``stop`` or ``length``; the others come from parsing its text, or from an upstream."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts in tokens. ``prompt_tokens`` includes ``cached_tokens``, as OpenAI counts."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int = 0
    """Positions of the prompt that were computed and kept for later readers."""
    reasoning_tokens: int = 0
    """Of ``completion_tokens``."""
    prediction: tuple[int, int] | None = None
    """Tokens drafted out of the request's prediction: accepted, rejected. None where it had none."""


@dataclass(frozen=True, slots=True)
class Started:
    """First event of a generation: the prompt is prefilled and the first token is known.

    ``cached_tokens`` is what was really taken from pages, which a lookup can only promise. With ``cache_write_tokens``
    it is what the usage at the end says too; where ``parsed``, that is the upstream's, and not known yet.
    """

    cached_tokens: int
    collapsed: bool
    """True when a prefill in flight for another request was waited for and shared."""
    queue_s: float
    load_s: float
    prefill_s: float
    parsed: bool = False
    """True when whoever answers has told reasoning, text and tool calls apart itself (an upstream)."""
    cache_write_tokens: int = 0
    """As :attr:`Usage.cache_write_tokens`: settled by now, since what follows is no part of the prompt."""
    left_out: tuple[LeftOut, ...] = ()
    """The parts of the request's schemas that are not enforced, as its dialect allows."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Natural logarithm of a token's probability under the model, before any sampling parameter."""

    token_id: int
    text: bytes
    """UTF-8 bytes of the token, which need not be whole characters."""
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    chosen: Likelihood
    top: tuple[Likelihood, ...] = ()
    """The likeliest tokens at this place, most likely first."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Whole characters only. From the engine: raw text, never empty. After parsing: the answer's own text."""

    text: str
    tokens: int = 1
    """Completion tokens that this text stands for."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of those tokens, where they were asked for."""


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """What the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a call. The first piece of each call has ``id`` and ``name``; all pieces have ``index``."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    reason: FinishReason
    usage: Usage
    stopped_by: str | None = None
    """The stop string that ended the answer, where it is known to be one."""


Event = Started | TextDelta | ReasoningDelta | ToolCallDelta | Finished

"""Events of an answer in the order in which they come, and the usage that ends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kvproxy.core import Charge, LeftOut
from kvproxy.core.replica_choice import ReplicaChoice
from kvproxy.core.session_hints import Retained

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""The engine says ``stop`` or ``length``; the others come from parsing its text, or from an upstream."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer. ``prompt_tokens`` includes ``cached_tokens``, as OpenAI counts."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int = 0
    """Positions of the prompt that were computed and kept for later readers."""
    reasoning_tokens: int = 0
    """Part of ``completion_tokens``."""
    prediction: tuple[int, int] | None = None
    """Tokens drafted from the request's prediction: accepted, rejected. None where it had none."""
    charge: Charge | None = None
    """The price of the whole request, set when it is settled; None where no tariff prices it."""
    receipts: tuple[str, ...] = ()
    """The signed receipts of that charge, where the client asks for them: one for each document that was read."""
    reported: bool = True
    """False where a fleet's replica did not say what it took from its cache: ``cached_tokens`` is 0 then, and nothing
    follows from it."""


@dataclass(frozen=True, slots=True)
class Started:
    """First event of a generation: the prompt is prefilled and the first token is known.

    ``cached_tokens`` counts positions really taken from pages, where a lookup only predicts. Together with
    ``cache_write_tokens`` it equals the final usage; where ``parsed`` is True both are the upstream's and not known
    yet.
    """

    cached_tokens: int
    collapsed: bool
    """True when a prefill in flight for another request was waited for and shared."""
    queue_s: float
    load_s: float
    prefill_s: float
    parsed: bool = False
    """True when an upstream answers and has already separated reasoning, text and tool calls."""
    cache_write_tokens: int = 0
    """As :attr:`Usage.cache_write_tokens`: final by now, since later tokens are no part of the prompt."""
    left_out: tuple[LeftOut, ...] = ()
    """The parts of the request's schemas that are not enforced, as its dialect allows."""
    retained: Retained | None = None
    """The answer to the session's wish about its pages; None where there was none."""
    confirmed: bool = True
    """False where ``cached_tokens`` is what a fleet's proxy expects: the replica tells the number with the final usage,
    and nothing is billed by the expected one."""
    choice: ReplicaChoice | None = None
    """The replica that answers, of a fleet."""
    timed: bool = True
    """False where ``prefill_s`` may be waiting for the most part: a replica does not tell how long it let a request
    wait, and the proxy knows of its own requests there alone."""
    arrived_at: float | None = field(default=None, compare=False)
    """``time.perf_counter`` at the engine, of the moment that ``queue_s`` counts from; None where it is not of this
    process."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Natural logarithm of a token's probability under the model, before any sampling parameter."""

    token_id: int
    text: bytes
    """UTF-8 bytes of the token, which may be part of a character."""
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """The logprob of one chosen token, with its alternatives."""

    chosen: Likelihood
    top: tuple[Likelihood, ...] = ()
    """The likeliest tokens at this place, most likely first."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Answer text in whole characters. From the engine: raw text, never empty. After parsing: the answer's own
    text."""

    text: str
    tokens: int = 1
    """Completion tokens that this text stands for."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """Logprobs of those tokens, where the request asks for them."""


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the model's reasoning before its answer."""

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
    """Last event of every answer that does not fail."""

    reason: FinishReason
    usage: Usage
    stopped_by: str | None = None
    """The stop string that ended the answer, where it is known to be one."""


Event = Started | TextDelta | ReasoningDelta | ToolCallDelta | Finished

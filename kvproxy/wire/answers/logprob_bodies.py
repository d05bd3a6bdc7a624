"""Log probabilities of tokens as OpenAI's chat and responses write them: one shape for both."""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.events import Likelihood, TokenLogprob

LEAST_LOGPROB = -9999.0
"""OpenAI's own value for a token that was as good as impossible: JSON has no infinity."""


class TopLogprobBody(TypedDict):
    """A likely token at one position: its text, its UTF-8 bytes and its log probability."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprobBody(TopLogprobBody):
    """A token of the answer with its log probability, and the likeliest tokens in its place."""

    top_logprobs: list[TopLogprobBody]


def token_logprob_body(token: TokenLogprob) -> TokenLogprobBody:
    """Return the chosen token with its alternatives."""
    return {**likelihood_body(token.chosen), "top_logprobs": [likelihood_body(top) for top in token.top]}


def likelihood_body(likelihood: Likelihood) -> TopLogprobBody:
    """Return one token: its text with U+FFFD for broken UTF-8, its log probability, and its bytes."""
    return {
        "token": likelihood.text.decode("utf-8", "replace"),
        "logprob": max(likelihood.logprob, LEAST_LOGPROB),
        "bytes": list(likelihood.text),
    }

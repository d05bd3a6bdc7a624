"""`completion_fields`: a generation as the body of a replica's ``/v1/completions``. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kvproxy.backends.base import Generation
from kvproxy.backends.fleet.completion_chunks import encode_json
from kvproxy.core import Sampling
from kvproxy.errors import UnsupportedParameter

EngineKind = Literal["vllm", "sglang"]


def completion_fields(
    generation: Generation,
    *,
    kind: EngineKind,
    model: str,
    salt: str,
    room: int,
    structure: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return all of the body but the prompt.

    ``model``: the replica's name for it; ``room``: tokens that an answer without a limit may have; ``structure``: the
    answer's form, from :func:`structure_fields`. Every sampling parameter is sent: a replica would take those that are
    left out from the model's ``generation_config.json``. Raises UnsupportedParameter.

    Example: ``completion_fields(generation, kind="vllm", model="qwen3-4b", salt=salt, room=4096)``
    """
    sampling = generation.sampling
    most = sampling.max_tokens or room
    fields = _sampling_fields(sampling, most) | {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "cache_salt": salt,
        "skip_special_tokens": not _marks_needed(generation),
        "spaces_between_special_tokens": False,
        **(structure or {}),
    }
    if sampling.logprobs is not None:
        if kind == "sglang":
            raise UnsupportedParameter(
                "'logprobs' needs the ids of tokens, which SGLang's completions do not give.",
                param="logprobs",
            )
        fields |= {"logprobs": sampling.logprobs, "return_tokens_as_token_ids": True}
    return fields


def _marks_needed(generation: Generation) -> bool:
    """Decide whether special tokens have to be text: marks of reasoning, and Mistral's of calls, may be some. Elsewhere
    they are left out, as the local engine does. An end token is never part of the text."""
    prompt = generation.prompt
    return not generation.sampling.ignore_eos and (
        prompt.reasoning != "none" or prompt.tool_format == "mistral"
    )


def prefill_fields(*, model: str, salt: str) -> dict[str, Any]:
    """Return the body, but for the prompt, of a request that only fills the cache: one token, greedy.

    Example: ``prefill_fields(model="qwen3-4b", salt=salts.of_scope(PUBLIC, ""))``
    """
    return {
        "model": model,
        "max_tokens": 1,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_salt": salt,
    }


def encoded_body(token_ids: Sequence[int], fields: Mapping[str, Any]) -> bytes:
    """Return the JSON of a body with its prompt. 50,000 ids take half a millisecond.

    Example: ``encoded_body(prompt.token_ids, fields)``
    """
    return encode_json({"prompt": token_ids, **fields})


def _sampling_fields(sampling: Sampling, most: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "max_tokens": most,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or -1,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "min_tokens": min(sampling.min_tokens, most),
        "ignore_eos": sampling.ignore_eos,
    }
    if sampling.seed is not None:
        fields["seed"] = (sampling.seed + 2**63) % 2**64 - 2**63  # a replica takes 64 bits with a sign
    if sampling.logit_bias:
        fields["logit_bias"] = {str(token): value for token, value in sampling.logit_bias}
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    if sampling.stop_token_ids:
        fields["stop_token_ids"] = list(sampling.stop_token_ids)
    return fields

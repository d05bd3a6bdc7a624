"""Field table of ``/v1/completions``."""

from __future__ import annotations

from kvproxy.wire.fields.engine_rows import CACHE, ENGINE, NO_EMBEDS, NO_SUFFIX
from kvproxy.wire.fields.field import Field, enforced, hint, neutral
from kvproxy.wire.fields.neutral import empty

COMPLETIONS: tuple[Field, ...] = (
    enforced("model"),
    enforced("prompt", "text, token ids, or lists of either"),
    enforced("best_of", "must equal `n`: choices are not ranked"),
    enforced("echo", "not together with logprobs"),
    enforced("frequency_penalty"),
    enforced("presence_penalty"),
    enforced("logit_bias", "-100 to 100, by token id", whole=True),
    enforced("logprobs", "up to 5 beside each token"),
    enforced("max_tokens", "16 where it is left out"),
    enforced("n"),
    enforced("seed"),
    enforced("stop", "up to four texts"),
    enforced("stream"),
    enforced("stream_options.include_usage"),
    hint("stream_options", "ignored where nothing is streamed"),
    NO_SUFFIX,
    NO_EMBEDS,
    enforced("temperature", "0 is greedy"),
    enforced("top_p"),
    enforced("response_format", "structured output", whole=True),
    hint("user"),
    hint("metadata"),
    neutral("return_token_ids", empty, "false", "token ids are not returned", example=True),
    neutral("return_tokens_as_token_ids", empty, "false", "token ids are not returned", example=True),
    *CACHE,
    *ENGINE,
)

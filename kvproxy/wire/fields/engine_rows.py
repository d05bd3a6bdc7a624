"""Fields that engines have added to OpenAI's dialects: vLLM's, SGLang's and llama.cpp's, in all three endpoints."""

from __future__ import annotations

from kvproxy.wire.answer_formats.engine_fields import ENFORCED_FIELDS
from kvproxy.wire.fields.field import Field, enforced, hint, neutral, refused
from kvproxy.wire.fields.neutral import empty, never, number, one_of

STRUCTURED: tuple[Field, ...] = (
    *(enforced(name, "structured output, to the letter", whole=True) for name in sorted(ENFORCED_FIELDS)),
    enforced(
        "guided_whitespace_pattern", "must admit the layout of JSON here: one space behind commas and colons"
    ),
    hint("guided_decoding_backend", "there is one way here"),
    refused("grammar_lazy", "a grammar holds from the first token on", empty, example=True),
)
"""Fields of engines that constrain the whole answer, accepted by every endpoint."""

SAMPLING = (
    enforced("top_k", "0 and -1: all tokens"),
    enforced("min_p"),
    enforced("repetition_penalty"),
    enforced("stop_token_ids"),
    enforced("min_tokens"),
    enforced("ignore_eos"),
)

REUSE = enforced(
    "kv_reuse",
    "none: the prompt is computed from scratch and leaves no page behind, at the price of a miss; `cache-status` says "
    "`asked-cold`. any: kept pages are used, as by default. The request's header `x-kvproxy-reuse` counts where the "
    "field is missing",
)
"""The field that measures a miss where a hit would be."""

CACHE: tuple[Field, ...] = (
    REUSE,
    hint("prompt_cache_key", "a routing hint: it separates nothing; `cache_salt` does"),
    enforced("cache_salt", "requests with different salts share nothing but published documents"),
    enforced("prompt_cache_options", "", whole=False),
    enforced("prompt_cache_options.mode", "explicit: nothing behind the last mark is kept"),
    enforced("prompt_cache_options.cache_salt", "as `cache_salt`"),
    hint("prompt_cache_options.ttl", "5m, 30m, 1h, 24h: the prompt's pages give way last for so long"),
    hint(
        "prompt_cache_options.comparison_response_id", "`cache-status` and explain give the reason of a miss"
    ),
    hint("prompt_cache_retention", "24h: as that ttl"),
)

PLACED = enforced(
    "kv_placement",
    "front: known documents move to the head of the system message, where their KV is reused, and a note stands in "
    "their place; the answer's header `x-kvproxy-placement` names them. keep: nothing moves. The request's header of "
    "that name counts where the field is missing",
)
"""The field that changes a prompt, where documents stand behind other text."""

ENGINE: tuple[Field, ...] = (
    *SAMPLING,
    *STRUCTURED,
    neutral("use_beam_search", empty, "false", "beams are not searched", example=True),
    neutral("length_penalty", number(1), "1", "beams are not searched", example=2.0),
    neutral("prompt_logprobs", number(0), "0", "the prompt's logprobs are not computed", example=3),
    neutral("bad_words", empty, "an empty list", "no words are forbidden here", example=["x"]),
    neutral("allowed_token_ids", empty, "an empty list", "tokens are not limited to a list", example=[5]),
    neutral("logits_processors", empty, "an empty list", "no code of a client's runs here", example=["x"]),
    neutral(
        "include_stop_str_in_output", empty, "false", "the answer ends before the stop string", example=True
    ),
    neutral(
        "skip_special_tokens",
        one_of(True),
        "true",
        "marks of the template are never in the answer",
        example=False,
    ),
    neutral("truncate_prompt_tokens", empty, "an absent value", "prompts are never cut", example=100),
    hint("spaces_between_special_tokens", "no special tokens are in the answer"),
    hint("priority", "requests are admitted in order"),
    hint("request_id", "the `x-request-id` header names a request"),
    hint("cache_prompt", "prompts are always kept; `kv_reuse` is what computes one from scratch"),
    hint("id_slot", "there are no slots"),
    hint("kv_transfer_params"),
    hint("vllm_xargs"),
)

TEMPLATE: tuple[Field, ...] = (
    enforced("chat_template_kwargs", "extra variables of the model's own template", whole=True),
    neutral("chat_template", empty, "an empty text", "the model's own template is used", example="{{ x }}"),
    neutral(
        "documents",
        empty,
        "an empty list",
        "publish documents, or send `kv_document` parts",
        example=[{"text": "x"}],
    ),
    neutral(
        "continue_final_message", empty, "false", "the answer is always a message of its own", example=True
    ),
    neutral(
        "add_generation_prompt",
        one_of(True),
        "true",
        "the answer is always a message of its own",
        example=False,
    ),
    hint("add_special_tokens", "the template has them"),
)

NO_SUFFIX = refused("suffix", "the model does not fill in between", empty, example="end")
NO_EMBEDS = refused("prompt_embeds", "prompts are text or token ids", never, example="AAAA")

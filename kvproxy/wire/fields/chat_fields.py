"""Field table of ``/v1/chat/completions``."""

from __future__ import annotations

from kvproxy.wire.fields.engine_rows import CACHE, ENGINE, PLACED, TEMPLATE
from kvproxy.wire.fields.field import Field, enforced, hint, neutral, without
from kvproxy.wire.fields.neutral import blocks_nothing, empty, never, number, one_of

READ_IN_HISTORY = (
    "the model reads text: a note stands in its place in history, and in the last user message it is refused "
    "(`requests.unreadable_history`)"
)

HOSTED = "only its provider's servers can run it (`requests.hosted_tools`)"

MODERATION = neutral(
    "moderation",
    blocks_nothing,
    "a policy that blocks nothing",
    "nothing is moderated here; scores are not given, and a policy that blocks could not be kept",
    example={"model": "m", "policy": {"input": {"mode": "block"}}},
)

PLAIN: tuple[Field, ...] = (
    enforced("model"),
    enforced("temperature", "0 is greedy"),
    enforced("top_p"),
    enforced("stream"),
    enforced("parallel_tool_calls"),
    hint("metadata", "any number of entries, of any type"),
    hint("safety_identifier"),
    hint("service_tier", "there is one"),
    hint("user"),
    hint("client_metadata"),
    hint("provider", "a router's: there is one"),
    hint("models", "a router's: there is one"),
    hint("transforms", "a router's"),
    MODERATION,
)
"""Shared by chat and responses."""

_MESSAGES: tuple[Field, ...] = (
    enforced("messages"),
    enforced("messages[].role", "developer is system"),
    enforced("messages[].content", "null and empty lists are empty texts"),
    enforced("messages[].content[text]", whole=True),
    enforced("messages[].content[refusal]", whole=True),
    enforced("messages[].content[kv_document]", "stands for a published document's text", whole=True),
    enforced(
        "messages[].content[].prompt_cache_breakpoint", "marks the end of a reusable prefix", whole=True
    ),
    enforced(
        "messages[].content[].cache_control",
        "marks the end of a reusable prefix, in any shape; `ttl`: 5m or 1h, the prompt gives way last",
        whole=True,
    ),
    enforced("messages[].cache_control", "marks the last part", whole=True),
    without("messages[].content[image_url]", READ_IN_HISTORY),
    without("messages[].content[input_audio]", READ_IN_HISTORY),
    without("messages[].content[file]", READ_IN_HISTORY),
    without("messages[].audio", READ_IN_HISTORY),
    hint("messages[].name", "not shown to the model; of the role function: which"),
    enforced("messages[].refusal"),
    enforced("messages[].reasoning_content", "where the template shows earlier thoughts"),
    enforced("messages[].reasoning", "another name of reasoning_content"),
    enforced("messages[].function_call", "deprecated form of tool_calls", whole=True),
    enforced("messages[].tool_calls", "functions and free-form tools"),
    enforced("messages[].tool_calls[]", whole=True),
    enforced("messages[].tool_call_id"),
)

TOOL_CHOICE = (
    enforced(
        "tool_choice",
        "a call of a tool that was left out is refused; of allowed tools it is dropped",
        whole=True,
    ),
)

_TOOLS: tuple[Field, ...] = (
    enforced("tools", "up to 512"),
    enforced("tools[function]", whole=True),
    enforced("tools[function].type"),
    enforced("tools[function].function"),
    enforced("tools[function].function.name", "up to 256 letters, digits and `_ - . / : @`"),
    enforced("tools[function].function.description"),
    enforced(
        "tools[function].function.parameters", "null, `{}`, booleans and a missing type are an object's"
    ),
    enforced("tools[function].function.strict", "arguments are held to the schema while sampling"),
    enforced("tools[custom]", "free-form: a function with one text; answered as `type: custom`", whole=True),
    enforced(
        "tools[custom].custom.format",
        "regex is enforced where it can be; Lark is shown to the model",
        whole=True,
    ),
    without("tools[*]", f"all other types: {HOSTED}"),
    hint("tools[].cache_control", "tools are kept with the prompt"),
    hint("tools[].defer_loading", "all tools are shown at once"),
    *TOOL_CHOICE,
    enforced("functions", "deprecated form of tools"),
    enforced("functions[]", whole=True),
    enforced("function_call", "deprecated form of tool_choice", whole=True),
    without("web_search_options", HOSTED, never, hosted=True, example={}),
)

CHAT: tuple[Field, ...] = (
    *PLAIN,
    *_MESSAGES,
    *_TOOLS,
    neutral("modalities", one_of(["text"], []), '["text"]', "the model writes text", example=["audio"]),
    hint("audio", "read only where `modalities` asks for audio, which is refused"),
    enforced("frequency_penalty"),
    enforced("presence_penalty"),
    enforced("logit_bias", "-100 to 100, by token id", whole=True),
    enforced("logprobs"),
    enforced("top_logprobs"),
    enforced("max_completion_tokens"),
    enforced("max_tokens", "deprecated form of max_completion_tokens"),
    enforced("n"),
    enforced("prediction", "the answer comes sooner, and stays the same", whole=True),
    hint(
        "reasoning_effort",
        "none and minimal: no thinking, where the template has the switch; also a template variable",
    ),
    enforced("response_format", "structured output", whole=True),
    enforced("seed"),
    enforced("stop", "up to four texts"),
    hint(
        "store", "chat completions are not stored; false: see `requests.store_false`, and docs/retention.md"
    ),
    enforced("stream_options.include_usage"),
    hint("stream_options", "ignored where nothing is streamed"),
    hint("verbosity"),
    neutral("best_of", number(1), "1", "choices are not ranked", example=2),
    neutral("return_token_ids", empty, "false", "token ids are not returned", example=True),
    neutral("return_tokens_as_token_ids", empty, "false", "token ids are not returned", example=True),
    neutral("echo", empty, "false", "the answer is always a message of its own", example=True),
    *CACHE,
    PLACED,
    *ENGINE,
    *TEMPLATE,
)

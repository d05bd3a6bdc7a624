"""Field table of ``/v1/responses``."""

from __future__ import annotations

from kvproxy.wire.fields.chat_fields import HOSTED, PLAIN, READ_IN_HISTORY, TOOL_CHOICE
from kvproxy.wire.fields.engine_rows import CACHE, ENGINE, PLACED, TEMPLATE
from kvproxy.wire.fields.field import Field, enforced, hint, neutral, refused, without
from kvproxy.wire.fields.neutral import empty, never, number

_ITEMS: tuple[Field, ...] = (
    enforced("input"),
    enforced("input[message]", whole=True),
    enforced("input[]", "a message without a type"),
    enforced("input[].role"),
    enforced("input[].content"),
    enforced("input[].type"),
    enforced("input[].content[*_text]", whole=True),
    enforced("input[].content[text]", whole=True),
    enforced("input[].content[refusal]", whole=True),
    enforced("input[].content[kv_document]", "stands for a published document's text", whole=True),
    without("input[].content[input_image]", READ_IN_HISTORY),
    without("input[].content[input_file]", READ_IN_HISTORY),
    without("input[].content[input_audio]", READ_IN_HISTORY),
    hint("input[].phase", "a message is a message"),
    enforced("input[function_call]", "with its namespace", whole=True),
    enforced("input[function_call_output]", whole=True),
    enforced("input[custom_tool_call]", whole=True),
    enforced("input[custom_tool_call_output]", whole=True),
    enforced("input[local_shell_call*]", "a call of the function that stands for the built-in", whole=True),
    enforced("input[shell_call*]", "a call of the function that stands for the built-in", whole=True),
    enforced("input[apply_patch_call*]", "a call of the function that stands for the built-in", whole=True),
    enforced("input[reasoning]", "text and summaries; encrypted content is not read", whole=True),
    enforced("input[item_reference]", whole=True),
    enforced("input[tool_search_*]", "the tools that a client's search has found can be called", whole=True),
    enforced("input[additional_tools]", "the tools can be called", whole=True),
    without("input[*]", f"all other types: {READ_IN_HISTORY}"),
)

_TOOLS: tuple[Field, ...] = (
    enforced("tools", "up to 512, those in namespaces counted; the response repeats them as they were sent"),
    enforced("tools[function]", whole=True),
    enforced("tools[function].name", "up to 256 letters, digits and `_ - . / : @`"),
    enforced("tools[function].parameters", "null, `{}`, booleans and a missing type are an object's"),
    enforced("tools[function].strict", "where it is left out: strict if the schema can be enforced"),
    hint("tools[function].async"),
    hint("tools[function].output_schema", "not shown to the model"),
    hint("tools[].allowed_callers", "the model calls tools itself"),
    hint("tools[].defer_loading", "all tools are shown at once"),
    enforced(
        "tools[custom]", "free-form: a function with one text; answered as `custom_tool_call`", whole=True
    ),
    enforced(
        "tools[custom].format", "regex is enforced where it can be; Lark is shown to the model", whole=True
    ),
    enforced(
        "tools[namespace]",
        "the model sees its functions as `namespace__name`; a call has both names apart",
        whole=True,
    ),
    enforced("tools[local_shell]", "a function; called as `local_shell_call`", whole=True),
    enforced(
        "tools[shell]", "with a local environment or none: a function; called as `shell_call`", whole=True
    ),
    enforced("tools[apply_patch]", "a function; called as `apply_patch_call`", whole=True),
    enforced(
        "tools[tool_search]",
        "with execution client: a function; called as `tool_search_call`; others are left out",
        whole=True,
    ),
    without("tools[*]", f"all other types: {HOSTED}"),
    *TOOL_CHOICE,
)

RESPONSES: tuple[Field, ...] = (
    *PLAIN,
    *_ITEMS,
    *_TOOLS,
    hint("access_programs"),
    neutral("background", empty, "false", "the local model answers while the client waits", example=True),
    hint("background_options", "read only where `background` is true, which is refused"),
    without(
        "context_management[*]",
        "nothing is compacted: the whole conversation is answered, or refused where it is too long",
        never,
        example={"type": "compaction", "compact_threshold": 1000},
    ),
    hint("context_management"),
    refused(
        "conversation", "no conversations are kept here; use 'previous_response_id'", empty, example="conv_1"
    ),
    hint("image"),
    hint(
        "include",
        "message.output_text.logprobs is honoured; other entries name fields that are not available",
    ),
    enforced("instructions"),
    enforced("max_output_tokens"),
    hint("max_tool_calls", "of hosted tools; there are none"),
    enforced("previous_response_id"),
    refused(
        "prompt",
        "stored prompts are not kept here; send 'instructions' and 'input'",
        empty,
        example={"id": "p"},
    ),
    without(
        "prompt_cache_options.prewarm",
        "the prompt is kept, but an answer is given too",
        empty,
        example=True,
    ),
    enforced("reasoning"),
    hint("reasoning.effort", "none and minimal: no thinking, where the template has the switch"),
    hint("reasoning.summary", "the reasoning itself is given"),
    hint("reasoning.generate_summary", "deprecated form of summary"),
    hint("reasoning.context", "earlier reasoning is shown where the template shows it"),
    hint("reasoning.mode"),
    enforced("store", "false: the response is not stored; see `requests.store_false`, and docs/retention.md"),
    hint("stream_options"),
    enforced("text"),
    enforced("text.format", "structured output", whole=True),
    enforced("response_format", "chat's name of the format", whole=True),
    hint("text.verbosity"),
    enforced("top_logprobs"),
    hint("truncation", "an input that is too long is refused"),
    neutral("n", number(1), "1", "a response is one answer", example=2),
    neutral("best_of", number(1), "1", "choices are not ranked", example=2),
    enforced("frequency_penalty"),
    enforced("presence_penalty"),
    enforced("logit_bias", "-100 to 100, by token id", whole=True),
    enforced("seed"),
    enforced("stop", "up to four texts"),
    *CACHE,
    PLACED,
    *ENGINE,
    *TEMPLATE,
)

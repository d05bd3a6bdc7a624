"""Field table of ``/v1/messages`` and ``/v1/messages/count_tokens``, beta headers' fields included."""

from __future__ import annotations

from dataclasses import replace

from kvproxy.errors import UnsupportedThread
from kvproxy.wire.fields.chat_fields import HOSTED, READ_IN_HISTORY
from kvproxy.wire.fields.engine_rows import PLACED, REUSE, STRUCTURED
from kvproxy.wire.fields.field import Field, enforced, hint, neutral, refused, without
from kvproxy.wire.fields.neutral import cites_nothing, clears_nothing, empty, never

_MARK = "marks the end of a reusable prefix, in any shape"
_WHOLE = "the whole conversation is answered: the model sees more than it would have, and never less"


def _uncited(path: str) -> Field:
    return neutral(
        path,
        cites_nothing,
        "citations that are not enabled",
        "the model makes no citations",
        example={"enabled": True},
    )


_MESSAGES: tuple[Field, ...] = (
    enforced("messages"),
    enforced("messages[].role"),
    enforced("messages[].content"),
    hint("messages[].clear_at", _WHOLE),
    hint("messages[].output_config", "of a system message; the request's own counts"),
    enforced("messages[].content[text]", whole=True),
    hint("messages[].content[text].citations", "of an earlier answer"),
    enforced("messages[].content[].cache_control", _MARK, whole=True),
    enforced("messages[].content[kv_document]", "stands for a published document's text", whole=True),
    enforced("messages[].content[document]", "sources of text", whole=True),
    _uncited("messages[].content[document].citations"),
    enforced("messages[].content[search_result]", whole=True),
    _uncited("messages[].content[search_result].citations"),
    without("messages[].content[image]", READ_IN_HISTORY),
    enforced("messages[].content[tool_use]", whole=True),
    enforced("messages[].content[tool_result]", whole=True),
    enforced("messages[].content[thinking]", "signatures are not checked", whole=True),
    hint("messages[].content[redacted_thinking]", "only its provider can read it"),
    without("messages[].content[*]", f"all other types: {READ_IN_HISTORY}"),
    enforced("system"),
    enforced("system[text]", whole=True),
    enforced("system[kv_document]", "stands for a published document's text", whole=True),
    enforced("system[document]", whole=True),
    _uncited("system[document].citations"),
)

_SERVED = "served as a function with its known schema"

_TOOLS: tuple[Field, ...] = (
    enforced("tools", "up to 512"),
    enforced("tools[]", "a function without a type"),
    enforced("tools[custom]", whole=True),
    enforced("tools[custom].name", "up to 256 letters, digits and `_ - . / : @`"),
    enforced("tools[custom].input_schema", "null, `{}`, booleans and a missing type are an object's"),
    enforced("tools[custom].strict", "the input is held to the schema while sampling"),
    enforced("tools[bash_*]", _SERVED, whole=True),
    enforced("tools[text_editor_*]", _SERVED, whole=True),
    enforced("tools[memory_*]", _SERVED, whole=True),
    hint("tools[].allowed_callers", "the model calls tools itself"),
    hint("tools[].cache_control", "tools are kept with the prompt"),
    hint("tools[].defer_loading", "all tools are shown at once"),
    hint("tools[].eager_input_streaming", "inputs are always streamed as they are written"),
    hint("tools[].input_examples", "not shown to the model"),
    without("tools[*]", f"all other types: {HOSTED}"),
    enforced("tool_choice", "a call of a tool that was left out is refused"),
    enforced("tool_choice.type"),
    enforced("tool_choice.name"),
    enforced("tool_choice.disable_parallel_tool_use"),
    without("container", HOSTED, empty, hosted=True, example={"skills": [{"skill_id": "pdf"}]}),
    without("mcp_servers", HOSTED, empty, hosted=True, example=[{"type": "url", "url": "https://x"}]),
)

_CONTEXT: tuple[Field, ...] = (
    without(
        "context_management.edits[clear_thinking_*]",
        f"unless it keeps all, which asks for nothing: {_WHOLE}",
        clears_nothing,
        example={"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 1}},
    ),
    without(
        "context_management.edits[clear_tool_uses_*]",
        _WHOLE,
        never,
        example={"type": "clear_tool_uses_20250919"},
    ),
    without(
        "context_management.edits[compact_*]",
        f"{_WHOLE}; one that is too long is refused, as without the field",
        never,
        example={"type": "compact_20260112"},
    ),
    hint("context_management", "edits of other types"),
    refused(
        "compaction",
        "the answer would be a summary that only Anthropic's servers can read again",
        empty,
        example={"type": "summarize"},
    ),
)

MESSAGES: tuple[Field, ...] = (
    enforced("model"),
    *_MESSAGES,
    *_TOOLS,
    *_CONTEXT,
    enforced("max_tokens", "0: the prompt is kept, and nothing answered"),
    enforced("cache_control", _MARK, whole=True),
    enforced("cache_salt", "requests with different salts share nothing but published documents"),
    PLACED,
    REUSE,
    enforced("stream"),
    enforced("temperature", "0 is greedy"),
    enforced("top_p"),
    enforced("top_k"),
    enforced("stop_sequences", "up to 64"),
    enforced("thinking"),
    enforced(
        "thinking.type", "disabled: no thinking, where the template has the switch; all others: thinking"
    ),
    hint("thinking.budget_tokens", "a wish: thinking ends when the model ends it, or with max_tokens"),
    enforced("thinking.display", "omitted: thinking blocks come without their text"),
    hint("thinking.block_binding", "signatures are not checked"),
    enforced("output_config"),
    hint("output_config.effort", "a variable of the template, where it has one"),
    enforced("output_config.format", "structured output", whole=True),
    hint("output_config.task_budget", "a wish: max_tokens is the limit"),
    enforced("output_format", "the older place of output_config.format", whole=True),
    enforced("response_format", "OpenAI's name of the format", whole=True),
    *STRUCTURED,
    replace(
        refused(
            "thread", "no conversations are kept here; send the whole one", empty, example={"type": "create"}
        ),
        error=UnsupportedThread,
    ),
    hint("betas", "as the anthropic-beta header: fields are read whether or not they are named there"),
    hint("billing_policy"),
    hint("diagnostics", "`cache-status` and explain give the reason of a miss"),
    hint("fallback_credit_token"),
    hint("fallbacks", "there is one model, and it does not decline"),
    hint("inference_geo", "there is one place"),
    hint("metadata"),
    hint("service_tier", "there is one"),
    hint("speed", "there is one"),
    hint("user_profile_id"),
    hint("workspace_id"),
    hint("chat_template_kwargs"),
)

"""Messages requests to :class:`ChatRequest` values for the local model.

One user message of Anthropic's becomes several of ours: each tool result a tool message of its own, in front of the
rest, which stays a user message.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

from kvproxy.core import CacheHints, ChatRequest, Message, Part, Sampling, TextPart, ToolCall
from kvproxy.core.answer_format import AnswerFormat, JsonFormat
from kvproxy.errors import InvalidRequest
from kvproxy.wire.answer_formats.engine_fields import ENFORCED_FIELDS
from kvproxy.wire.answer_formats.response_format import parse_response_format
from kvproxy.wire.answer_formats.structured_outputs import is_set
from kvproxy.wire.anthropic.blocks import (
    ReadBlock,
    RedactedThinkingBlockBody,
    TextBlockBody,
    ThinkingBlockBody,
    ToolResultBlockBody,
    ToolUseBlockBody,
)
from kvproxy.wire.anthropic.message_body import (
    AnthropicMessageBody,
    CountTokensBody,
    MessagesBody,
    parse_body,
)
from kvproxy.wire.anthropic.message_parts import BlockReader, unsupported_block, with_mark
from kvproxy.wire.anthropic.message_tools import call_of, parse_anthropic_choice, parse_anthropic_tools
from kvproxy.wire.anthropic.tool_ids import core_id
from kvproxy.wire.bodies.cache_ttl import with_mark_ttl
from kvproxy.wire.bodies.request_reading import LENIENT, ReadingPolicy, RequestReading
from kvproxy.wire.history.open_question import Turn, open_question
from kvproxy.wire.history.pairing import pair_results
from kvproxy.wire.history.surrogates import mend_surrogates
from kvproxy.wire.openings.volatile_openings import settle_openings

_EFFORTS: dict[str, Literal["low", "medium", "high"]] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
"""Chat templates that know an effort know three."""


def parse_messages(body: dict[str, Any], policy: ReadingPolicy = LENIENT) -> ChatRequest:
    """Parse a Messages body. Raises InvalidRequest or UnsupportedParameter naming the field."""
    reading = RequestReading(policy)
    request = parse_body(MessagesBody, body, reading)
    if request.max_tokens == 0:
        _refuse_answer_fields(request)
    sampling = Sampling(
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=request.top_k or 0,
        # 1 is the engine's least: that token comes out of the prefill, and is not shown.
        max_tokens=request.max_tokens or 1,
        stop=tuple(request.stop_sequences or ()),
    )
    chat = _chat(request, sampling, reading, stream=bool(request.stream))
    return replace(chat, cache=with_mark_ttl(replace(chat.cache, reuse=request.reuse), body))


def parse_count(body: dict[str, Any], policy: ReadingPolicy = LENIENT) -> ChatRequest:
    """Parse a body of ``count_tokens`` to the same request, of which only the length is used."""
    reading = RequestReading(policy)
    return _chat(parse_body(CountTokensBody, body, reading), Sampling(), reading, stream=False)


def warms_only(body: dict[str, Any]) -> bool:
    """Return whether the prompt is to be computed and kept, and nothing answered. ``body`` has been parsed before."""
    return body.get("max_tokens") == 0


def thinking_shown(body: dict[str, Any]) -> bool:
    """Return whether the answer may hold the model's reasoning. ``body`` has been parsed before."""
    thinking = body.get("thinking")
    return not (isinstance(thinking, dict) and thinking.get("display") == "omitted")


def _refuse_answer_fields(request: MessagesBody) -> None:
    """Refuse fields that shape an answer where there is none, as Anthropic does, and a prefill that keeps nothing."""
    choice, thinking, config = request.tool_choice, request.thinking, request.output_config
    present = {
        "stream": bool(request.stream),
        "kv_reuse": not request.reuse,
        "thinking": thinking is not None and thinking.type != "disabled",
        "tool_choice": choice is not None and choice.type in ("any", "tool"),
        "output_config.format": config is not None and config.format is not None,
        "output_format": request.output_format is not None,
    }
    present |= {name: is_set(getattr(request, name)) for name in (*ENFORCED_FIELDS, "response_format")}
    for name in (name for name, is_present in present.items() if is_present):
        raise InvalidRequest(
            f"Invalid '{name}': with 'max_tokens' 0 there is no answer for it to shape. Leave it out.",
            param=name,
        )


def _chat(
    request: CountTokensBody, sampling: Sampling, reading: RequestReading, *, stream: bool
) -> ChatRequest:
    offered = parse_anthropic_tools(request.tools or [], reading)
    return ChatRequest(
        model=request.model,
        messages=settle_openings(
            _messages(request, reading), reading, partial(_part_path, bool(request.system))
        ),
        sampling=sampling,
        stream=stream,
        template_kwargs=_template_kwargs(request),
        tools=offered.tools,
        tool_choice=parse_anthropic_choice(request.tool_choice, offered),
        parallel_tool_calls=not (request.tool_choice and request.tool_choice.disable_parallel_tool_use),
        response_format=_format(request),
        cache=CacheHints(salt=request.cache_salt),
        left_out=tuple(reading.left_out),
        placement=request.placement,
    )


def _part_path(has_system: bool, index: int, part: int) -> str:
    """Return the path of the field that a part of a message came from; ``system`` for those at the front."""
    if has_system and index == 0:
        return f"system[{part}]"
    return f"messages[{index - has_system}].content[{part}]"


def _messages(request: CountTokensBody, reading: RequestReading) -> tuple[Message, ...]:
    bodies = _complete(request)
    question = open_question([_turn_of(body) for body in bodies])
    found: list[tuple[str, Message]] = []
    if request.system:
        reader = BlockReader(reading, is_question=True)
        found.append(("system", Message("system", reader.all(request.system, "system"))))
    for index, body in enumerate(bodies):
        found += _read(body, f"messages[{index}]", BlockReader(reading, index == question))
    places = [place for place, _ in found]
    whole = mend_surrogates(
        [m for _, m in found], places, None if question is None else f"messages[{question}]"
    )
    messages = list(pair_results(whole, places, reading))
    if request.cache_control is not None:
        messages[-1] = replace(messages[-1], content=with_mark(messages[-1].content))
    return tuple(messages)


def _complete(request: CountTokensBody) -> list[AnthropicMessageBody]:
    """Return the messages without an empty answer at their end: it begins nothing.

    Raises UnsupportedParameter for an answer to continue; a token count has no answer, and is never refused.
    """
    last = request.messages[-1]
    if last.role != "assistant":
        return request.messages
    if isinstance(request, MessagesBody) and last.content and _says(last.content[-1]):
        raise unsupported_block(
            f"messages[{len(request.messages) - 1}].role",
            "the local model does not continue an assistant message that has been begun. End with a user message; "
            "to shape the answer's beginning say so there, or use output_config.format",
        )
    empty = not any(_says(block) or block.type not in _WORDLESS for block in last.content)
    return request.messages[:-1] if empty and len(request.messages) > 1 else request.messages


_WORDLESS = ("text", "thinking", "redacted_thinking")


def _says(block: ReadBlock) -> bool:
    return isinstance(block, TextBlockBody) and bool((block.text or "").strip())


def _turn_of(body: AnthropicMessageBody) -> Turn:
    results = body.role == "user" and any(isinstance(b, ToolResultBlockBody) for b in body.content)
    return "tool" if results else body.role


def _read(message: AnthropicMessageBody, where: str, reader: BlockReader) -> list[tuple[str, Message]]:
    """Return the messages of one body, each with its path in the request."""
    if message.role == "assistant":
        return [(where, _assistant(message, where, reader))]
    rest: list[Part] = []
    results: list[tuple[str, Message]] = []
    for index, block in enumerate(message.content):
        at = f"{where}.content[{index}]"
        if isinstance(block, ToolResultBlockBody) and message.role == "user":
            results.append((at, _result(block, at, BlockReader(reader.reading, is_question=False))))
        else:
            rest += reader.parts(block, at)
    if not rest and not results:
        rest.append(TextPart(""))
    return results + ([(where, Message(message.role, tuple(rest)))] if rest else [])


def _assistant(message: AnthropicMessageBody, where: str, reader: BlockReader) -> Message:
    parts: list[Part] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for index, block in enumerate(message.content):
        at = f"{where}.content[{index}]"
        match block:
            case ThinkingBlockBody():
                thoughts.append(block.thinking)
            case RedactedThinkingBlockBody():
                pass
            case ToolUseBlockBody():
                calls.append(call_of(block))
            case _ if block.type == "kv_document" or not (block.type == "text" or reader.lenient):
                raise unsupported_block(
                    f"{at}.type", f"an assistant message has no blocks of type '{block.type}'"
                )
            case _:
                parts += reader.parts(block, at)
    if not parts and not calls:
        parts.append(TextPart(""))  # An answer may have been empty, and comes back as it was.
    return Message(
        "assistant",
        tuple(parts),
        tool_calls=tuple(calls),
        reasoning="\n".join(t for t in thoughts if t) or None,
    )


def _result(block: ToolResultBlockBody, where: str, reader: BlockReader) -> Message:
    parts: tuple[Part, ...] = (TextPart("Error:"),) if block.is_error else ()
    parts += reader.all(block.content, f"{where}.content") or (TextPart(""),)
    if block.cache_control is not None:
        parts = with_mark(parts)
    return Message("tool", parts, tool_call_id=core_id(block.tool_use_id))


def _template_kwargs(request: CountTokensBody) -> dict[str, Any]:
    """Return the template's variables.

    Thinking is off by default, as with Anthropic; templates without the switch ignore it.
    """
    kwargs: dict[str, Any] = {
        "enable_thinking": request.thinking is not None and request.thinking.type != "disabled"
    }
    effort = request.output_config.effort if request.output_config is not None else None
    if isinstance(effort, str) and effort in _EFFORTS:
        kwargs["reasoning_effort"] = _EFFORTS[effort]
    return kwargs


def _format(request: CountTokensBody) -> AnswerFormat | None:
    """Return the answer's format. Anthropic promises that a schema is kept, so it is enforced to the letter.

    Raises InvalidRequest.
    """
    inner = request.output_config.format if request.output_config is not None else None
    formats: list[tuple[str, AnswerFormat]] = [
        (name, JsonFormat(format.json_schema, param=f"{name}.schema"))
        for name, format in (("output_config.format", inner), ("output_format", request.output_format))
        if format is not None
    ]
    if (chats := parse_response_format(request.response_format)) is not None:
        formats.append(("response_format", chats))
    for name, wanted in formats[1:]:
        if wanted != formats[0][1]:
            raise InvalidRequest(
                f"Invalid '{name}': it and '{formats[0][0]}' ask for two different answers. Send one of them.",
                param=name,
            )
    own_param, own = formats[0] if formats else ("output_config.format", None)
    return request.answer_format(own, own_param)

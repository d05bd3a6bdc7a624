"""A Messages request to a :class:`ChatRequest` for the local model.

What Anthropic puts into one user message becomes several of ours: each tool result a tool message of its own,
in front of the rest, which stays a user message.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from kvproxy.answer_format import AnswerFormat, JsonFormat
from kvproxy.core import ChatRequest, Message, Part, Sampling, TextPart, ToolCall
from kvproxy.errors import InvalidRequest
from kvproxy.wire.answer_formats.engine_fields import ENFORCED_FIELDS
from kvproxy.wire.answer_formats.structured_outputs import asks
from kvproxy.wire.anthropic.blocks import (
    RedactedThinkingBlockBody,
    ThinkingBlockBody,
    ToolResultBlockBody,
    ToolUseBlockBody,
)
from kvproxy.wire.anthropic.body import CountTokensBody, MessageBody, MessagesBody, parse_body
from kvproxy.wire.anthropic.parts import block_parts, marked, refused
from kvproxy.wire.anthropic.tool_ids import core_id
from kvproxy.wire.anthropic.tools import call_of, choice_of, tools_of
from kvproxy.wire.reading import LENIENT, Reading, ReadingPolicy
from kvproxy.wire.response_format import parse_response_format

_EFFORTS: dict[str, Literal["low", "medium", "high"]] = {"xhigh": "high", "max": "high"}
"""Chat templates that know an effort know three."""


def parse_messages(body: dict[str, Any], policy: ReadingPolicy = LENIENT) -> ChatRequest:
    """Raises InvalidRequest or UnsupportedParameter naming the field."""
    asked = parse_body(MessagesBody, body)
    if asked.max_tokens == 0:
        _refuse_what_shapes_an_answer(asked)
    sampling = Sampling(
        temperature=1.0 if asked.temperature is None else asked.temperature,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        top_k=asked.top_k or 0,
        max_tokens=asked.max_tokens or 1,  # the engine's least: it comes out of the prefill, and is not told
        stop=tuple(asked.stop_sequences or ()),
    )
    return _chat(asked, sampling, Reading(policy), stream=bool(asked.stream))


def parse_count(body: dict[str, Any], policy: ReadingPolicy = LENIENT) -> ChatRequest:
    """The same request where only its length is asked for."""
    return _chat(parse_body(CountTokensBody, body), Sampling(), Reading(policy), stream=False)


def warms_only(body: dict[str, Any]) -> bool:
    """Whether the prompt is to be computed and kept, and nothing answered. For a body that was parsed before."""
    return body.get("max_tokens") == 0


def thinking_shown(body: dict[str, Any]) -> bool:
    """Whether the answer may hold what the model thought. For a body that was parsed before."""
    thinking = body.get("thinking")
    return not (isinstance(thinking, dict) and thinking.get("display") == "omitted")


def _refuse_what_shapes_an_answer(asked: MessagesBody) -> None:
    """As Anthropic does: none of it has a meaning where there is no answer."""
    choice, thinking, config = asked.tool_choice, asked.thinking, asked.output_config
    given = {
        "stream": bool(asked.stream),
        "thinking": thinking is not None and thinking.type != "disabled",
        "tool_choice": choice is not None and choice.type in ("any", "tool"),
        "output_config.format": config is not None and config.format is not None,
        "output_format": asked.output_format is not None,
    }
    given |= {name: asks(getattr(asked, name)) for name in (*ENFORCED_FIELDS, "response_format")}
    for name in (name for name, is_given in given.items() if is_given):
        raise InvalidRequest(
            f"Invalid '{name}': with 'max_tokens' 0 there is no answer for it to shape. Leave it out.",
            param=name,
        )


def _chat(asked: CountTokensBody, sampling: Sampling, reading: Reading, *, stream: bool) -> ChatRequest:
    tools = tools_of(asked.tools or [])
    return ChatRequest(
        model=asked.model,
        messages=_messages(asked),
        sampling=sampling,
        stream=stream,
        template_kwargs=_template_kwargs(asked),
        tools=tools,
        tool_choice=choice_of(asked.tool_choice, tools),
        parallel_tool_calls=not (asked.tool_choice and asked.tool_choice.disable_parallel_tool_use),
        response_format=_format(asked),
        left_out=tuple(reading.left_out),
    )


def _messages(asked: CountTokensBody) -> tuple[Message, ...]:
    last = len(asked.messages) - 1
    if asked.messages[last].role == "assistant":
        raise refused(
            f"messages[{last}].role",
            "the local model does not continue an assistant message that has been begun. End with a user message; "
            "to shape the answer's beginning say so there, or use output_config.format",
        )
    messages: list[Message] = []
    if asked.system:
        messages.append(Message("system", _parts(asked.system, "system")))
    for index, message in enumerate(asked.messages):
        messages += _turn(message, f"messages[{index}]")
    _pair_calls(asked.messages)
    if asked.cache_control is not None:
        messages[-1] = replace(messages[-1], content=marked(messages[-1].content))
    return tuple(messages)


def _turn(message: MessageBody, where: str) -> list[Message]:
    if not message.content and message.role != "assistant":
        raise InvalidRequest(
            f"Invalid '{where}.content': a message needs a string or content blocks.",
            param=f"{where}.content",
        )
    if message.role == "assistant":
        return [_assistant(message, where)]
    rest: list[Part] = []
    results: list[Message] = []
    for index, block in enumerate(message.content):
        at = f"{where}.content[{index}]"
        if isinstance(block, ToolResultBlockBody) and message.role == "user":
            results.append(_result(block, at))
        else:
            rest += block_parts(block, at)
    return results + ([Message(message.role, tuple(rest))] if rest else [])


def _assistant(message: MessageBody, where: str) -> Message:
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
            case _ if block.type != "text":
                raise refused(f"{at}.type", f"an assistant message has no blocks of type '{block.type}'")
            case _:
                parts += block_parts(block, at)
    if not parts and not calls:
        parts.append(TextPart(""))  # An answer may have been empty, and comes back as it was.
    return Message(
        "assistant",
        tuple(parts),
        tool_calls=tuple(calls),
        reasoning="\n".join(t for t in thoughts if t) or None,
    )


def _result(block: ToolResultBlockBody, where: str) -> Message:
    parts: tuple[Part, ...] = (TextPart("Error:"),) if block.is_error else ()
    parts += _parts(block.content, f"{where}.content") or (TextPart(""),)
    if block.cache_control is not None:
        parts = marked(parts)
    return Message("tool", parts, tool_call_id=core_id(block.tool_use_id))


def _parts(blocks: list[Any], where: str) -> tuple[Part, ...]:
    return tuple(part for i, block in enumerate(blocks) for part in block_parts(block, f"{where}[{i}]"))


def _pair_calls(messages: list[MessageBody]) -> None:
    """Each tool use is answered in the turn behind it, and nothing else is. Messages of one role that follow each
    other are one turn, as Anthropic has it. Raises InvalidRequest."""
    open_ids: list[str] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        for at, block in enumerate(message.content):
            if not isinstance(block, ToolResultBlockBody):
                continue
            if block.tool_use_id not in open_ids:
                param = f"{where}.content[{at}].tool_use_id"
                raise InvalidRequest(
                    f"Invalid '{param}': each tool_result must answer a tool_use of the message before it, once.",
                    param=param,
                )
            open_ids.remove(block.tool_use_id)
        ends = index + 1 == len(messages) or messages[index + 1].role != message.role
        if open_ids and ends and message.role != "assistant":
            raise InvalidRequest(
                f"Invalid '{where}': tool_use ids without a tool_result right behind them: "
                f"{', '.join(open_ids)[:200]}.",
                param=where,
            )
        open_ids += [b.id for b in message.content if isinstance(b, ToolUseBlockBody)]


def _template_kwargs(asked: CountTokensBody) -> dict[str, Any]:
    """Thinking is off unless it is asked for, as Anthropic has it; templates without the switch ignore it."""
    kwargs: dict[str, Any] = {
        "enable_thinking": asked.thinking is not None and asked.thinking.type != "disabled"
    }
    if asked.output_config is not None and asked.output_config.effort is not None:
        effort = asked.output_config.effort
        kwargs["reasoning_effort"] = _EFFORTS.get(effort, effort)
    return kwargs


def _format(asked: CountTokensBody) -> AnswerFormat | None:
    """Anthropic promises that a schema is kept, so it is enforced to the letter. Raises InvalidRequest."""
    inner = asked.output_config.format if asked.output_config is not None else None
    given: list[tuple[str, AnswerFormat]] = [
        (name, JsonFormat(format.json_schema, param=f"{name}.schema"))
        for name, format in (("output_config.format", inner), ("output_format", asked.output_format))
        if format is not None
    ]
    if (chats := parse_response_format(asked.response_format)) is not None:
        given.append(("response_format", chats))
    for name, wanted in given[1:]:
        if wanted != given[0][1]:
            raise InvalidRequest(
                f"Invalid '{name}': it and '{given[0][0]}' ask for two different answers. Send one of them.",
                param=name,
            )
    own_param, own = given[0] if given else ("output_config.format", None)
    return asked.answer_format(own, own_param)

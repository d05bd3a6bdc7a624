"""A responses body and its conversation, to a :class:`ChatRequest` and to the response object that is filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvproxy.core import ChatRequest, Sampling
from kvproxy.core.answer_format import AnswerFormat, JsonFormat
from kvproxy.errors import InvalidRequest, ModelNotFound
from kvproxy.wire.answer_formats.response_format import json_schema_format, parse_response_format
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.chat.parse_chat import EFFORTS, template_variables
from kvproxy.wire.openings.volatile_openings import settle_openings
from kvproxy.wire.responses.conversation_items import messages
from kvproxy.wire.responses.found_tools import with_found
from kvproxy.wire.responses.hint_echo import known_or_none, metadata_echo, text_or_json
from kvproxy.wire.responses.response_body import FormatBody, ResponsesBody
from kvproxy.wire.responses.response_ids import ResponseIds
from kvproxy.wire.responses.response_tools import parse_tools, tool_echo
from kvproxy.wire.responses.tool_choice import choice_echo, parse_choice
from kvproxy.wire.responses.types import Item, Response, TextEcho

_SUMMARIES = ("auto", "concise", "detailed")

LOGPROBS = "message.output_text.logprobs"


def to_chat(
    body: ResponsesBody, items: Sequence[Item], *, served_name: str, reading: RequestReading
) -> ChatRequest:
    """Return the chat request of a body and its conversation.

    ``items``: the whole conversation, that of the previous response first. ``reading`` holds the fields left out of
    them, and records further ones (modified). Raises InvalidRequest or UnsupportedParameter naming the field;
    ModelNotFound for another model.

    Example: ``to_chat(body, items, served_name="qwen", reading=RequestReading())``.
    """
    if body.model != served_name:
        raise ModelNotFound(body.model)
    offered = with_found(parse_tools(body.tools or (), reading), items)
    return ChatRequest(
        model=body.model,
        messages=settle_openings(
            messages(items, body.instructions, reading, offered.tools),
            reading,
            lambda i, j: "instructions" if i == 0 and body.instructions else "input",
        ),
        sampling=_sampling(body),
        stream=bool(body.stream),
        include_usage=True,
        template_kwargs=template_variables(
            body.chat_template_kwargs or {}, body.reasoning.effort if body.reasoning else None
        ),
        tools=offered.tools,
        tool_choice=parse_choice(body.tool_choice, offered),
        parallel_tool_calls=body.parallel_tool_calls is not False,
        response_format=_answer_format(body),
        cache=body.hints(retain=reading.retains(body.store)),
        left_out=tuple(reading.left_out),
        placement=body.placement,
    )


def open_response(body: ResponsesBody, chat: ChatRequest, ids: ResponseIds, *, created: int) -> Response:
    """Return the response before its first word. ``created``: Unix time in seconds.

    Example: ``open_response(body, chat, ids, created=1700000000)["status"] == "in_progress"``.
    """
    response = Response(
        id=ids.response,
        object="response",
        created_at=created,
        completed_at=None,
        status="in_progress",
        background=False,
        error=None,
        incomplete_details=None,
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        max_tool_calls=body.max_tool_calls if type(body.max_tool_calls) is int else None,
        metadata=metadata_echo(body.metadata),
        model=body.model,
        output=[],
        parallel_tool_calls=chat.parallel_tool_calls,
        previous_response_id=body.previous_response_id,
        prompt_cache_key=body.prompt_cache_key,
        prompt_cache_retention=known_or_none(body.prompt_cache_retention, "in_memory", "24h"),
        reasoning={
            "effort": known_or_none(body.reasoning.effort, *EFFORTS) if body.reasoning else None,
            "summary": known_or_none(body.reasoning.summary, *_SUMMARIES) if body.reasoning else None,
        },
        safety_identifier=text_or_json(body.safety_identifier),
        store=body.store is not False,
        temperature=chat.sampling.temperature,
        text=_text_echo(body),
        tool_choice=choice_echo(body.tool_choice),
        tools=_tools_echo(body, chat),
        top_logprobs=body.top_logprobs or 0,
        top_p=chat.sampling.top_p,
        truncation=known_or_none(body.truncation, "auto", "disabled") or "disabled",
    )
    if (user := text_or_json(body.user)) is not None:
        response["user"] = user
    if body.prompt_cache_options is not None:
        options = body.prompt_cache_options
        response["prompt_cache_options"] = {
            "mode": options.mode or "implicit",
            "ttl": known_or_none(options.ttl, "30m", "12h") or "30m",
        }
    return response


def _tools_echo(body: ResponsesBody, chat: ChatRequest) -> list[dict[str, Any]]:
    offered = {tool.name: tool for tool in chat.tools if tool.namespace is None}
    return [tool_echo(tool, offered.get(tool.name or "")) for tool in body.tools or ()]


def _sampling(body: ResponsesBody) -> Sampling:
    included = body.include if isinstance(body.include, list) else []
    wanted = body.top_logprobs is not None or LOGPROBS in included
    logprobs = (body.top_logprobs or 0) if wanted else None
    return body.sampling(max_tokens=body.max_output_tokens, logprobs=logprobs)


def _answer_format(body: ResponsesBody) -> AnswerFormat | None:
    own: AnswerFormat | None = _text_format(body.text.format if body.text else None)
    param = "text.format"
    if body.response_format is not None and own is None:
        own, param = parse_response_format(body.response_format), "response_format"
    elif body.response_format is not None and body.response_format.type != "text":
        raise InvalidRequest(
            "Invalid 'response_format': it and 'text.format' ask for two answers. Send one of them.",
            param="response_format",
        )
    return body.answer_format(own, param)


def _text_format(format: FormatBody | None) -> JsonFormat | None:
    if format is None or format.type == "text":
        return None
    if format.type == "json_object":
        return JsonFormat(param="text.format")
    if format.name is None:
        raise InvalidRequest("Missing required parameter: 'text.format.name'.", param="text.format.name")
    return json_schema_format(format.name, format.schema_, where="text.format", strict=bool(format.strict))


def _text_echo(body: ResponsesBody) -> TextEcho:
    format = body.text.format if body.text and body.text.format else FormatBody()
    echo: dict[str, Any] = {"type": format.type}
    if format.type == "json_schema":
        echo |= {"name": format.name, "schema": format.schema_, "strict": bool(format.strict)}
        if format.description is not None:
            echo["description"] = format.description
    verbosity = known_or_none(body.text.verbosity, "low", "medium", "high") if body.text else None
    return {"format": echo} if verbosity is None else {"format": echo, "verbosity": verbosity}

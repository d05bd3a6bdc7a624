"""Chat completion bodies, as OpenAI defines them, to :class:`ChatRequest` values for the local model."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from kvproxy.core import ChatRequest, Tool, ToolChoice
from kvproxy.errors import InvalidRequest, ModelNotFound
from kvproxy.wire.answer_formats.response_format import parse_response_format
from kvproxy.wire.bodies.cache_ttl import with_mark_ttl
from kvproxy.wire.bodies.request_reading import LENIENT, ReadingPolicy, RequestReading
from kvproxy.wire.bodies.sampling import include_usage
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.chat.chat_body import ChatBody
from kvproxy.wire.chat.chat_messages import parse_messages
from kvproxy.wire.chat.prediction import parse_prediction
from kvproxy.wire.fields.chat_fields import CHAT
from kvproxy.wire.fields.screen import screen
from kvproxy.wire.openings.volatile_openings import settle_openings
from kvproxy.wire.tools.chat_tools import make_tool, parse_tool_choice, parse_tools
from kvproxy.wire.tools.offered_tools import Offered, checked_choice, checked_tools

_OWN_TEMPLATE_VARIABLES = ("messages", "tools", "documents", "add_generation_prompt")
"""Set from the request itself; a client that could replace them could replace the conversation."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_NO_THINKING = ("none", "minimal")


def parse_chat(body: dict[str, Any], *, served_name: str, policy: ReadingPolicy = LENIENT) -> ChatRequest:
    """Parse a chat completion body.

    Raises InvalidRequest or UnsupportedParameter naming the field; ModelNotFound for another model. Unknown fields are
    accepted, as clients send many that change nothing here.

    Example: ``parse_chat({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}, served_name="m")``.
    """
    reading = RequestReading(policy)
    # Before types are checked: an unsupported field may have a type that the body model does not define.
    screen(body, CHAT, reading)
    try:
        chat = ChatBody.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e
    if chat.model != served_name:
        raise ModelNotFound(chat.model)
    tools, choice = _tools(chat, reading)
    # The deprecated form's answer has room for one call.
    single = chat.parallel_tool_calls is False or (bool(chat.functions) and not chat.tools)
    completion = chat.max_completion_tokens if chat.max_completion_tokens is not None else chat.max_tokens
    return ChatRequest(
        model=chat.model,
        messages=settle_openings(
            parse_messages(chat.messages, reading), reading, lambda i, j: f"messages[{i}].content[{j}]"
        ),
        sampling=chat.sampling(max_tokens=completion, logprobs=_logprobs(chat)),
        stream=bool(chat.stream),
        include_usage=include_usage(chat.stream, chat.stream_options),
        template_kwargs=template_variables(chat.chat_template_kwargs or {}, chat.reasoning_effort),
        n=chat.n or 1,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=not single,
        response_format=chat.answer_format(parse_response_format(chat.response_format), "response_format"),
        cache=with_mark_ttl(chat.hints(retain=reading.retains(chat.store)), body),
        prediction=parse_prediction(chat.prediction),
        left_out=tuple(reading.left_out),
        placement=chat.placement,
    )


def template_variables(kwargs: dict[str, Any], effort: object) -> dict[str, Any]:
    """Return the template's variables. ``effort`` switches thinking, unless the client's own ``enable_thinking`` does.

    Templates that know efforts get those that are published. Raises InvalidRequest.
    """
    for name in _OWN_TEMPLATE_VARIABLES:
        if name in kwargs:
            param = f"chat_template_kwargs.{name}"
            raise InvalidRequest(
                f"Invalid '{param}': this variable is set from the request itself.", param=param
            )
    if not isinstance(effort, str):
        return kwargs
    published = {"reasoning_effort": effort} if effort in EFFORTS else {}
    return {"enable_thinking": effort not in _NO_THINKING, **published, **kwargs}


def _tools(chat: ChatBody, reading: RequestReading) -> tuple[tuple[Tool, ...], ToolChoice]:
    """Return the tools and the choice, from ``tools`` or from the deprecated ``functions``."""
    if chat.tools or not chat.functions:
        offered = parse_tools(chat.tools, reading)
        return offered.tools, parse_tool_choice(chat.tool_choice, offered)
    functions = [
        make_tool(f.name, f.description, f.parameters, bool(f.strict), where=f"functions[{i}]")
        for i, f in enumerate(chat.functions)
    ]
    offered = Offered(checked_tools(functions, param="functions"))
    choice = ToolChoice()
    if chat.function_call is not None and chat.function_call.name is not None:
        choice = ToolChoice("required", (chat.function_call.name,))
    elif chat.function_call is not None:
        choice = ToolChoice(chat.function_call.mode or "auto")
    return offered.tools, checked_choice(choice, offered, param="function_call", tools_param="functions")


def _logprobs(chat: ChatBody) -> int | None:
    if chat.top_logprobs and not chat.logprobs:
        raise InvalidRequest(
            "Invalid 'top_logprobs': may only be specified if 'logprobs' is set to true.",
            param="top_logprobs",
        )
    return (chat.top_logprobs or 0) if chat.logprobs else None

"""`plain_call`: the same request for another model, as an OpenAI chat completion body with documents in full."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kvproxy.core import Caller, ChatRequest, Message, Tool, ToolChoice
from kvproxy.core.answer_format import (
    AnswerFormat,
    ChoiceFormat,
    GrammarFormat,
    JsonFormat,
    RegexFormat,
    TagsFormat,
)
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.message_contents import plain_text


def plain_call(request: ChatRequest, library: Library, caller: Caller) -> dict[str, Any]:
    """Return the body, without model, sampling and streaming parameters. Raises DocumentNotFound and InvalidRequest.

    A document that the caller may read by a grant is named and not written out: its text goes to no other model.
    Reasoning of earlier answers is left out: it is this model's own, and other models refuse the field.

    Example:
        ``body = plain_call(request, library, caller)``
    """
    call: dict[str, Any] = {
        "messages": [_message(i, message, library, caller) for i, message in enumerate(request.messages)]
    }
    if request.tools:
        call |= _tools(request.tools, request.tool_choice)
        if not request.parallel_tool_calls:
            call["parallel_tool_calls"] = False
    if request.response_format is not None:
        call |= format_fields(request.response_format)
    return call


def _message(index: int, message: Message, library: Library, caller: Caller) -> dict[str, Any]:
    text = plain_text(index, message, library, caller)
    plain: dict[str, Any] = {"role": message.role, "content": text}
    if message.tool_calls:
        plain["content"] = text or None
        plain["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        plain["tool_call_id"] = message.tool_call_id
    return plain


def _tools(tools: Sequence[Tool], choice: ToolChoice) -> dict[str, Any]:
    """Return the tools that may be called: few providers support ``allowed_tools``, so a choice among some becomes
    those tools."""
    named = choice.mode == "required" and len(choice.names) == 1
    offered = [tool for tool in tools if named or not choice.names or tool.name in choice.names]
    chosen: Any = {"type": "function", "function": {"name": choice.names[0]}} if named else choice.mode
    return {"tools": [_tool(tool) for tool in offered], "tool_choice": chosen}


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict and not tool.assumed:
        function["strict"] = True
    return {"type": "function", "function": function}


def format_fields(wanted: AnswerFormat) -> dict[str, Any]:
    """Return the fields that ask another model for the format.

    A format without a field in OpenAI's API is asked for as in vLLM's, by ``structured_outputs``; the caller has to
    make sure that its receiver supports that.
    """
    match wanted:
        case JsonFormat(None):
            return {"response_format": {"type": "json_object"}}
        case JsonFormat(schema, strict):
            described = {"name": "answer", "schema": schema, **({"strict": True} if strict else {})}
            return {"response_format": {"type": "json_schema", "json_schema": described}}
        case RegexFormat(pattern):
            return {"structured_outputs": {"regex": pattern}}
        case ChoiceFormat(choices):
            return {"structured_outputs": {"choice": list(choices)}}
        case GrammarFormat(text):
            return {"structured_outputs": {"grammar": text}}
        case TagsFormat(structures, triggers):
            tags = [{"begin": s.begin, "schema": s.schema, "end": s.end} for s in structures]
            asked = {"type": "structural_tag", "structures": tags, "triggers": list(triggers)}
            return {"structured_outputs": {"structural_tag": json.dumps(asked, ensure_ascii=False)}}

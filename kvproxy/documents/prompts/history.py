"""`History`: writes earlier messages as the template takes them: tool calls, their results, and reasoning.

A call stands in the history as the model wrote it, so that the next turn reuses its answer's tokens too. Where the
template has no tools, calls and results are written in the format of Qwen3's template.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from kvproxy.core import Message, ToolCall
from kvproxy.core.finite_json import loads_finite
from kvproxy.documents.prompts.model_format import ModelFormat
from kvproxy.documents.prompts.roles import arrange, merge_front
from kvproxy.documents.prompts.tool_texts import RenderedTools
from kvproxy.documents.tokens.escape import Escape, check_unicode
from kvproxy.errors import InvalidRequest

_JSON_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|\s++|[,:]', re.DOTALL)
_SILENT = {"role": "assistant", "content": ""}
_SPACED = {",": ", ", ":": ": "}


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """The call that a tool message is the result of."""

    number: int
    """Number of the call among all calls of the conversation, from 1."""
    name: str


def answered(messages: Sequence[Message]) -> dict[int, AnsweredCall]:
    """Return, for the index of each tool message, its call.

    Raises InvalidRequest, in OpenAI's words, where there is none. A call needs no result: an agent may have been
    interrupted.
    """
    waiting: dict[str | None, AnsweredCall] = {}
    found: dict[int, AnsweredCall] = {}
    number = 0
    for i, message in enumerate(messages):
        ids: set[str] = set()
        for j, call in enumerate(message.tool_calls):
            if call.id in ids:
                raise InvalidRequest(
                    f"Invalid parameter: duplicate tool call id '{call.id}'.",
                    param=f"messages[{i}].tool_calls[{j}].id",
                )
            ids.add(call.id)
            number += 1
            waiting[call.id] = AnsweredCall(number, call.name)
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                _unasked(i, message, bool(number))
            found[i] = waiting.pop(message.tool_call_id)
    return found


def _unasked(index: int, message: Message, called: bool) -> NoReturn:
    if not called:
        raise InvalidRequest(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
            "'tool_calls'.",
            param=f"messages[{index}]",
        )
    raise InvalidRequest(
        f"Invalid parameter: 'tool_call_id' of '{message.tool_call_id}' not found in 'tool_calls' of previous "
        "message.",
        param=f"messages[{index}].tool_call_id",
    )


class History:
    """Writes conversations for one model's template."""

    def __init__(self, escape: Escape, format: ModelFormat) -> None:
        self._escape = escape
        self._format = format

    def render(
        self, messages: Sequence[Message], contents: Sequence[str], tools: RenderedTools | None
    ) -> list[dict[str, Any]]:
        """Return the template's messages. ``contents``: those of ``messages``, escaped. Raises InvalidRequest.

        Example:
            ``messages = history.render(request.messages, contents.texts, tools)``
        """
        results = answered(messages)
        roles = self._format.roles
        if self._format.native_tools:
            native = self._native(messages, contents, results)
            native = _one_at_a_time(native) if self._format.one_call else native
            return arrange(merge_front(native, roles), roles)
        written = merge_front(self._written(messages, contents), roles)
        return arrange(self._introduced(written, tools.block) if tools is not None else written, roles)

    def _native(
        self, messages: Sequence[Message], contents: Sequence[str], results: Mapping[int, AnsweredCall]
    ) -> list[dict[str, Any]]:
        written: list[dict[str, Any]] = []
        number = 0
        for i, (message, content) in enumerate(zip(messages, contents, strict=True)):
            entry: dict[str, Any] = {"role": message.role, "content": content}
            if message.tool_calls:
                entry["content"] = _before_calls(content)
                entry["tool_calls"] = [
                    self._native_call(call, number + k, f"messages[{i}].tool_calls[{k - 1}]")
                    for k, call in enumerate(message.tool_calls, start=1)
                ]
                number += len(message.tool_calls)
            if i in results:
                entry["tool_call_id"] = _canonical_id(results[i].number)
                entry["name"] = self._escape.text(results[i].name)
            self._add_reasoning(entry, message, i)
            written.append(entry)
        return written

    def _native_call(self, call: ToolCall, number: int, where: str) -> dict[str, Any]:
        text = spaced(check_unicode(call.arguments, f"{where}.function.arguments"))
        arguments: Any
        if self._format.arguments_as_text:
            arguments = self._escape.text(call.arguments if text is None else text)
        elif text is None:
            # Templates that take an object fail on a text.
            arguments = {"arguments": self._escape.text(call.arguments)}
        else:
            arguments = self._escape.value(json.loads(text), f"{where}.function.arguments")
        function = {"name": self._escape.text(check_unicode(call.name, where)), "arguments": arguments}
        return {"id": _canonical_id(number), "type": "function", "function": function}

    def _written(self, messages: Sequence[Message], contents: Sequence[str]) -> list[dict[str, Any]]:
        written: list[dict[str, Any]] = []
        responses: list[str] = []
        for i, (message, content) in enumerate(zip(messages, contents, strict=True)):
            if message.role == "tool":
                responses.append(f"<tool_response>\n{content}\n</tool_response>")
                if i + 1 == len(messages) or messages[i + 1].role != "tool":
                    written.append({"role": "user", "content": "\n".join(responses)})
                    responses = []
            else:
                calls = [
                    self._written_call(call, f"messages[{i}].tool_calls[{j}]")
                    for j, call in enumerate(message.tool_calls)
                ]
                said = [_before_calls(content)] if calls and content not in ("", "\n") else []
                entry = {"role": message.role, "content": "\n".join(said + calls) if calls else content}
                self._add_reasoning(entry, message, i)
                written.append(entry)
        return written

    def _written_call(self, call: ToolCall, where: str) -> str:
        arguments = spaced(check_unicode(call.arguments, f"{where}.function.arguments"))
        name = json.dumps(check_unicode(call.name, where), ensure_ascii=False)
        text = f'{{"name": {name}, "arguments": {call.arguments if arguments is None else arguments}}}'
        return f"<tool_call>\n{self._escape.text(text)}\n</tool_call>"

    def _introduced(self, written: list[dict[str, Any]], block: str) -> list[dict[str, Any]]:
        """Add the tools behind the system text, so that a document at its head keeps its place; where the template
        takes no system message, before the user's first words."""
        if written and written[0]["role"] == "system":
            content = written[0]["content"]
            first = {"role": "system", "content": f"{content}\n\n{block}" if content else block}
            return [first, *written[1:]]
        if "system" in self._format.copied or not written:
            default = self._format.default_system
            content = block if default is None else f"{default}\n\n{block}"
            return [{"role": "system", "content": content}, *written]
        return [{**written[0], "content": f"{block}\n\n{written[0]['content']}"}, *written[1:]]

    def _add_reasoning(self, entry: dict[str, Any], message: Message, index: int) -> None:
        if message.reasoning is not None and self._format.reasoning_content:
            text = check_unicode(message.reasoning, f"messages[{index}].reasoning_content")
            entry["reasoning_content"] = self._escape.text(text)


def _one_at_a_time(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Split each answer with several calls into several with one, each call's result behind it."""
    written: list[dict[str, Any]] = []
    results: dict[str, dict[str, Any]] = {}
    for i, entry in enumerate(entries):
        if entry["role"] == "tool" and entry["tool_call_id"] in results:
            continue
        calls = entry.get("tool_calls", ())
        if len(calls) < 2:
            written.append(entry)
            continue
        behind = itertools.takewhile(
            lambda e: e["role"] == "tool", (entries[j] for j in range(i + 1, len(entries)))
        )
        own = {call["id"] for call in calls}  # a late result of an earlier call stays where it stands
        results |= {e["tool_call_id"]: e for e in behind if e["tool_call_id"] in own}
        for k, call in enumerate(calls):
            written.append({**entry, "tool_calls": [call]} if k == 0 else {**_SILENT, "tool_calls": [call]})
            if call["id"] in results:
                written.append(results[call["id"]])
    return written


def spaced(arguments: str) -> str | None:
    """Rewrite a JSON object's text as models write it, with ``", "`` and ``": "`` and no other change.

    An empty text is an empty object; None for any text that is not one object.
    """
    if not arguments.strip():
        return "{}"
    try:
        value = loads_finite(arguments)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return _JSON_TOKEN.sub(_respaced, arguments)


def _respaced(match: re.Match[str]) -> str:
    text = match[0]
    return "" if text.isspace() else _SPACED.get(text, text)


def _before_calls(content: str) -> str:
    """Return the text before a call, without the line break that templates put between the two."""
    return content.removesuffix("\n")


def _canonical_id(number: int) -> str:
    """Return an id by place, so that equal conversations give equal tokens where a template shows ids.

    It has nine digits, because Mistral's templates insist on that.
    """
    return f"{number:09d}"

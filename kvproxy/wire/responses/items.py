"""Items of a conversation: from the request to one normal form, which is stored, and from it to messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from kvproxy.core import DocumentPart, Message, Part, Role, TextPart, Tool, ToolCall
from kvproxy.errors import InvalidRequest, NotFound, UnsupportedParameter
from kvproxy.wire.document_ref import parse_document_ref
from kvproxy.wire.responses.body import ContentPart, InputItem, ItemRole
from kvproxy.wire.responses.call_items import call_of, names_of, output_text
from kvproxy.wire.responses.found_tools import found_text
from kvproxy.wire.responses.ids import Ids
from kvproxy.wire.responses.past_calls import past_call
from kvproxy.wire.responses.types import (
    FunctionCall,
    FunctionCallOutput,
    InputMessage,
    InputPart,
    InputTextPart,
    Item,
    KvDocumentPart,
    OutputMessage,
    OutputPart,
    ReasoningItem,
)

_T = TypeVar("_T")
_TEXTS = ("input_text", "output_text", "text")
_ROLES: dict[str, Role] = {"user": "user", "system": "system", "developer": "system"}


def references(items: Sequence[InputItem]) -> Iterator[str]:
    """Ids of the stored items that the request names without sending them."""
    return (item.id for item in items if item.type == "item_reference" and item.id)


def normal_items(items: Sequence[InputItem], ids: Ids, known: Mapping[str, Item]) -> list[Item]:
    """The request's own items, each with an id. ``known``: what its references may name, by item id.

    Raises InvalidRequest or UnsupportedParameter naming the field, and NotFound for a reference to nothing.
    """
    return [_normal(item, f"input[{i}]", i, ids, known) for i, item in enumerate(items)]


def messages(
    items: Iterable[Item], instructions: str | None, tools: Sequence[Tool] = ()
) -> tuple[Message, ...]:
    """What the model is told. Reasoning, text and calls of one answer become one assistant message.

    Texts, arguments and ids stay as they are, so that a later prompt begins with the tokens of an earlier one.
    Raises InvalidRequest for the result of a call that nobody made.
    """
    found: list[Message] = []
    if instructions:
        found.append(Message("system", (TextPart(instructions),)))
    turn = _Turn(names_of(tools))
    called: dict[str, str] = {}
    """Ids of calls, by all that a result may name them by."""
    for item in items:
        if (call := call_of(item, {})) is not None:
            called |= {call.id: call.id, item["id"]: call.id}
        if turn.takes(item):
            continue
        found += turn.ended()
        if turn.takes(item):
            continue
        if (result := _result(item)) is not None:
            if (call_id := called.get(result.call_id)) is None:
                raise InvalidRequest(
                    f"No tool call found for function call output with call_id {result.call_id}.",
                    param="input",
                )
            found.append(Message("tool", result.parts, tool_call_id=call_id))
        elif item["type"] == "tool_search_output" or item["type"] == "additional_tools":
            found.append(Message("system", (TextPart(found_text(item)),)))
        elif item["type"] == "message" and item["role"] != "assistant":
            found.append(Message(_ROLES[item["role"]], tuple(_part(p) for p in item["content"])))
    found += turn.ended()
    if not found:
        raise InvalidRequest("Invalid 'input': must hold at least one item.", param="input")
    return tuple(found)


@dataclass(slots=True)
class _Turn:
    """One answer of the model, as its items are put together again."""

    names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    thoughts: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)

    def takes(self, item: Item) -> bool:
        """False when ``item`` belongs to another turn: the next one, or nobody's."""
        if item["type"] == "reasoning":
            if self.parts or self.calls:
                return False
            self.thoughts.append(_thought(item))
            return True
        if (call := call_of(item, self.names)) is not None:
            self.calls.append(call)
            return True
        if item["type"] != "message" or item["role"] != "assistant":
            return False
        if self.parts and not self.calls:
            return False
        texts = (p["text"] if p["type"] == "output_text" else p["refusal"] for p in item["content"])
        self.parts += [TextPart(text) for text in texts] or [TextPart("")]
        return True

    def ended(self) -> list[Message]:
        """The message, if there is one; the turn is empty afterwards."""
        reasoning = "\n".join(thought for thought in self.thoughts if thought) or None
        message = Message("assistant", tuple(self.parts), tuple(self.calls), reasoning=reasoning)
        self.thoughts, self.parts, self.calls = [], [], []
        return [message] if message.content or message.tool_calls or reasoning else []


@dataclass(frozen=True, slots=True)
class _Result:
    call_id: str
    parts: tuple[Part, ...]


def _result(item: Item) -> _Result | None:
    """What a client says of a call that it made."""
    match item["type"]:
        case "function_call_output" | "custom_tool_call_output":
            return _Result(item["call_id"], tuple(_part(p) for p in item["output"]) or (TextPart(""),))
        case "shell_call_output" | "local_shell_call_output" | "apply_patch_call_output":
            return _Result(item["call_id"], (TextPart(output_text(item)),))
        case "tool_search_output" if "call_id" in item:
            return _Result(item["call_id"], (TextPart(found_text(item)),))
    return None


def _thought(item: ReasoningItem) -> str:
    return "".join(part["text"] for part in item["content"] or item["summary"])


def _part(part: InputPart) -> Part:
    mark = "prompt_cache_breakpoint" in part
    if part["type"] == "kv_document":
        return DocumentPart(parse_document_ref(part["document"], param="input"), mark)
    return TextPart(part["text"], mark)


def _normal(item: InputItem, where: str, index: int, ids: Ids, known: Mapping[str, Item]) -> Item:
    match item.type:
        case "item_reference":
            id = _needed(item.id, f"{where}.id")
            if id not in known:
                raise NotFound(f"Item with id '{id}' not found. Stored items expire.", param=f"{where}.id")
            return known[id]
        case "reasoning":
            return _reasoning(item, where, item.id or ids.given("rs", index))
        case "function_call":
            return _call(item, where, item.id or ids.given("fc", index))
        case "function_call_output" | "custom_tool_call_output":
            return _call_output(item, where, item.id or ids.given("fco", index))
        case "message":
            role: ItemRole = _needed(item.role, f"{where}.role")
            id = item.id or ids.given("msg", index)
            if role == "assistant":
                return _said(item, where, id)
            content = [_input_part(p, at) for at, p in _parts(item.content, f"{where}.content")]
            if not content:
                raise InvalidRequest(
                    f"Invalid '{where}.content': must hold at least one part.", param=f"{where}.content"
                )
            return InputMessage(type="message", id=id, status="completed", role=role, content=content)
        case _:
            return past_call(item, where, index, ids)


def _said(item: InputItem, where: str, id: str) -> OutputMessage:
    content = [_output_part(p, at) for at, p in _parts(item.content, f"{where}.content")]
    return {"type": "message", "id": id, "status": "completed", "role": "assistant", "content": content}


def _reasoning(item: InputItem, where: str, id: str) -> ReasoningItem:
    return {
        "type": "reasoning",
        "id": id,
        "summary": [
            {"type": "summary_text", "text": _needed(p.text, f"{where}.summary[{i}].text")}
            for i, p in enumerate(item.summary or ())
        ],
        "content": [
            {"type": "reasoning_text", "text": _needed(p.text, f"{where}.content[{i}].text")}
            for i, p in enumerate(item.content or ())
        ],
        "status": "completed",
    }


def _call(item: InputItem, where: str, id: str) -> FunctionCall:
    call: FunctionCall = {
        "type": "function_call",
        "id": id,
        "call_id": _needed(item.call_id, f"{where}.call_id"),
        "name": _needed(item.name, f"{where}.name"),
        "arguments": _needed(item.arguments, f"{where}.arguments"),
        "status": "completed",
    }
    if item.namespace is not None:
        call["namespace"] = item.namespace
    return call


def _call_output(item: InputItem, where: str, id: str) -> FunctionCallOutput:
    output: list[InputPart] = []
    for at, part in _parts(item.output, f"{where}.output"):
        if part.type == "kv_document":
            raise _misplaced(part, at)
        output.append(_input_part(part, at))
    return {
        "type": "custom_tool_call_output" if item.type.startswith("custom") else "function_call_output",
        "id": id,
        "call_id": _needed(item.call_id, f"{where}.call_id"),
        "output": output,
        "status": "completed",
    }


def _parts(parts: list[ContentPart] | None, where: str) -> list[tuple[str, ContentPart]]:
    """Each part with its path."""
    return [(f"{where}[{i}]", part) for i, part in enumerate(_needed(parts, where))]


def _input_part(part: ContentPart, where: str) -> InputPart:
    normal: InputTextPart | KvDocumentPart
    if part.type == "kv_document":
        document = _needed(part.document, f"{where}.document")
        parse_document_ref(document, param=f"{where}.document")
        normal = {"type": "kv_document", "document": document}
    elif part.type in _TEXTS:
        normal = {"type": "input_text", "text": _needed(part.text, f"{where}.text")}
    else:
        raise _misplaced(part, where)
    if part.mark:
        normal["prompt_cache_breakpoint"] = {"mode": "explicit"}
    return normal


def _output_part(part: ContentPart, where: str) -> OutputPart:
    if part.type == "refusal":
        return {"type": "refusal", "refusal": _needed(part.refusal, f"{where}.refusal")}
    if part.type not in _TEXTS:
        raise _misplaced(part, where)
    text = _needed(part.text, f"{where}.text")
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _misplaced(part: ContentPart, where: str) -> InvalidRequest:
    param = f"{where}.type"
    if part.type in ("input_image", "input_file", "input_audio"):
        what = part.type.removeprefix("input_")
        return UnsupportedParameter(
            f"Unsupported value: '{param}' is '{part.type}', and the local model reads text, no {what}. "
            "Send the text, or a kv_document.",
            param=param,
        )
    return InvalidRequest(f"Invalid '{param}': '{part.type}' cannot stand here.", param=param)


def _needed(value: _T | None, where: str) -> _T:
    if value is None:
        raise InvalidRequest(f"Missing required parameter: '{where}'.", param=where)
    return value

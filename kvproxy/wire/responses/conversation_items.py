"""Items of a conversation: from the request to one normal form, which is stored, and from it to messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from kvproxy.core import DocumentPart, Message, Part, Role, TextPart, Tool, ToolCall
from kvproxy.errors import InvalidRequest, NotFound
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.history.arguments import NAMELESS
from kvproxy.wire.history.open_question import open_question
from kvproxy.wire.history.pairing import pair_results
from kvproxy.wire.history.surrogates import mend_surrogates
from kvproxy.wire.kv_documents.document_ref import parse_document_ref
from kvproxy.wire.responses.call_items import call_of, names_of, output_text
from kvproxy.wire.responses.found_tools import found_text
from kvproxy.wire.responses.past_calls import past_call
from kvproxy.wire.responses.response_body import (
    ContentPart,
    InputItem,
    ItemRole,
    UnreadItem,
    UnreadResponsePart,
)
from kvproxy.wire.responses.response_ids import ResponseIds
from kvproxy.wire.responses.types import (
    FunctionCall,
    FunctionCallOutput,
    InputMessage,
    InputPart,
    InputTextPart,
    Item,
    KvDocumentPart,
    OutputPart,
    ReasoningItem,
)
from kvproxy.wire.responses.unread_items import (
    GONE,
    history_note,
    misplaced_part,
    part_text,
    question_item,
    stand_in_message,
)

_T = TypeVar("_T")
_TEXTS = ("input_text", "output_text", "text")
_ROLES: dict[str, Role] = {"user": "user", "system": "system", "developer": "system"}


def references(items: Sequence[InputItem]) -> Iterator[str]:
    """Return ids of the stored items that the request names without sending them."""
    return (item.id for item in items if item.type == "item_reference" and item.id)


def normal_items(
    items: Sequence[InputItem], ids: ResponseIds, known: Mapping[str, Item], reading: RequestReading
) -> list[Item]:
    """Return the request's own items, each with an id.

    ``known``: the items that its references may name, by id; ``reading`` records the items that the model is not shown
    (modified). Raises InvalidRequest or UnsupportedParameter naming the field, and NotFound for a reference to nothing.

    Example: ``normal_items(parse_body(body).input or [], ResponseIds(uuid4().hex), {}, RequestReading())``.
    """
    question = question_item(items)
    if items and all(item.type == "item_reference" and item.id not in known for item in items):
        raise _gone(items[0].id or "", "input[0]")  # There is nothing else to answer.
    normal = (
        _normal(item, i, ids, known, reading, is_question=i == question) for i, item in enumerate(items)
    )
    return [item for item in normal if item is not None]


def messages(
    items: Iterable[Item], instructions: str | None, reading: RequestReading, tools: Sequence[Tool] = ()
) -> tuple[Message, ...]:
    """Return the model's messages. Reasoning, text and calls of one answer become one assistant message.

    Texts, arguments and ids stay as they are, so that a later prompt begins with the tokens of an earlier one. Raises
    InvalidRequest for a result without a call where the policy is to refuse it.

    Example: ``messages(items, "Be brief.", RequestReading(), offered.tools)``.
    """
    found: list[Message] = []
    if instructions:
        found.append(Message("system", (TextPart(instructions),)))
    turn = _Turn(names_of(tools))
    called: dict[str, str] = {}
    """Ids of calls, by every id that a result may use for them."""
    for item in items:
        if (call := call_of(item, {})) is not None:
            called |= {call.id: call.id, item["id"]: call.id}
        if turn.takes(item):
            continue
        found += turn.finish()
        if turn.takes(item):
            continue
        if (result := _result(item)) is not None:
            call_id = called.get(result.call_id, result.call_id)
            found.append(Message("tool", result.parts, tool_call_id=call_id))
        elif item["type"] == "tool_search_output" or item["type"] == "additional_tools":
            found.append(Message("system", (TextPart(found_text(item)),)))
        elif item["type"] == "message" and item["role"] != "assistant":
            found.append(Message(_ROLES[item["role"]], tuple(_part(p) for p in item["content"])))
    found += turn.finish()
    if not found:
        raise InvalidRequest("Invalid 'input': must hold at least one item.", param="input")
    return _settled(found, reading)


def _settled(found: list[Message], reading: RequestReading) -> tuple[Message, ...]:
    question = open_question([message.role for message in found])
    whole = mend_surrogates(
        found, [str(i) for i in range(len(found))], None if question is None else str(question)
    )
    return pair_results(whole, ["input"] * len(found), reading)


@dataclass(slots=True)
class _Turn:
    """One answer of the model, put together again from its items."""

    names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    thoughts: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)

    def takes(self, item: Item) -> bool:
        """Add ``item`` to the turn; return False where it belongs to another turn, or to none."""
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

    def finish(self) -> list[Message]:
        """Return the message, if there is one; the turn is empty afterwards."""
        reasoning = "\n".join(thought for thought in self.thoughts if thought) or None
        message = Message("assistant", tuple(self.parts), tuple(self.calls), reasoning=reasoning)
        self.thoughts, self.parts, self.calls = [], [], []
        return [message] if message.content or message.tool_calls or reasoning else []


@dataclass(frozen=True, slots=True)
class _Result:
    call_id: str
    parts: tuple[Part, ...]


def _result(item: Item) -> _Result | None:
    """Return a client's result of a call; None for another item."""
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


def _normal(
    item: InputItem,
    index: int,
    ids: ResponseIds,
    known: Mapping[str, Item],
    reading: RequestReading,
    *,
    is_question: bool,
) -> Item | None:
    """Return an item's normal form; None for an item without content here."""
    where = f"input[{index}]"
    if isinstance(item, UnreadItem):
        id = item.raw.get("id")
        return history_note(item, where, id if isinstance(id, str) else ids.for_input("msg", index), reading)
    match item.type:
        case "item_reference":
            return _referenced(item, where, known, reading)
        case "reasoning":
            return _reasoning(item, item.id or ids.for_input("rs", index))
        case "function_call":
            return _call(item, item.id or ids.for_input("fc", index))
        case "function_call_output" | "custom_tool_call_output":
            return _call_output(item, where, item.id or ids.for_input("fco", index), reading)
        case "message":
            return _message(
                item, where, item.id or ids.for_input("msg", index), reading, is_question=is_question
            )
        case _:
            return _past_call(item, index, ids, reading)


def _past_call(item: InputItem, index: int, ids: ResponseIds, reading: RequestReading) -> Item | None:
    """Return a call of a kind of its own, or a note for one that lost its fields."""
    where = f"input[{index}]"
    try:
        return past_call(item, where, index, ids)
    except InvalidRequest:
        if reading.policy.unreadable_history == "refuse":
            raise
        raw = UnreadItem.model_construct(raw=item.model_dump(exclude_none=True))
        return history_note(raw, where, item.id or ids.for_input("msg", index), reading)


def _referenced(
    item: InputItem, where: str, known: Mapping[str, Item], reading: RequestReading
) -> Item | None:
    id = _needed(item.id, f"{where}.id")
    if id in known:
        return known[id]
    if reading.policy.unreadable_history == "refuse":
        raise _gone(id, where)
    if id.startswith("rs_"):
        return None
    reading.leave_out(where, "item_reference")
    return stand_in_message(GONE, id, by="assistant")


def _gone(id: str, where: str) -> NotFound:
    return NotFound(f"Item with id '{id}' not found. Stored items expire.", param=f"{where}.id")


def _message(item: InputItem, where: str, id: str, reading: RequestReading, *, is_question: bool) -> Item:
    role: ItemRole = _needed(item.role, f"{where}.role")
    if is_question and "content" not in item.model_fields_set:
        raise InvalidRequest(f"Missing required parameter: '{where}.content'.", param=f"{where}.content")
    parts = _parts(item.content, f"{where}.content")
    if role == "assistant":
        written = [_output_part(p, at, reading) for at, p in parts]
        content = [part for part in written if part is not None]
        return {"type": "message", "id": id, "status": "completed", "role": "assistant", "content": content}
    parts_read = [_input_part(p, at, reading, is_question=is_question) for at, p in parts]
    shown = [part for part in parts_read if part is not None] or [_EMPTY]
    return InputMessage(type="message", id=id, status="completed", role=role, content=shown)


def _reasoning(item: InputItem, id: str) -> ReasoningItem:
    """Return the readable reasoning. Encrypted reasoning is left out: only its provider can read it."""
    return {
        "type": "reasoning",
        "id": id,
        "summary": [{"type": "summary_text", "text": p.text} for p in item.summary or () if p.text],
        "content": [{"type": "reasoning_text", "text": p.text} for p in item.content or () if p.text],
        "status": "completed",
    }


def _call(item: InputItem, id: str) -> FunctionCall:
    call: FunctionCall = {
        "type": "function_call",
        "id": id,
        "call_id": item.call_id or "",
        "name": item.name or NAMELESS,
        "arguments": item.arguments,
        "status": "completed",
    }
    if item.namespace:
        call["namespace"] = item.namespace
    return call


def _call_output(item: InputItem, where: str, id: str, reading: RequestReading) -> FunctionCallOutput:
    output: list[InputPart] = []
    for at, part in _parts(item.output, f"{where}.output"):
        if part.type == "kv_document":
            raise misplaced_part(part, at)
        normal = _input_part(part, at, reading, is_question=False)
        output += [normal] if normal is not None else []
    return {
        "type": "custom_tool_call_output" if item.type.startswith("custom") else "function_call_output",
        "id": id,
        "call_id": item.call_id or "",
        "output": output,
        "status": "completed",
    }


_EMPTY: InputTextPart = {"type": "input_text", "text": ""}


def _parts(parts: list[ContentPart] | None, where: str) -> list[tuple[str, ContentPart]]:
    """Return each part with its path."""
    return [(f"{where}[{i}]", part) for i, part in enumerate(parts or ())]


def _input_part(
    part: ContentPart, where: str, reading: RequestReading, *, is_question: bool
) -> InputPart | None:
    normal: InputTextPart | KvDocumentPart
    if part.type == "kv_document":
        document = _needed(part.document, f"{where}.document")
        parse_document_ref(document, param=f"{where}.document")
        normal = {"type": "kv_document", "document": document}
    elif is_question or reading.policy.unreadable_history == "refuse":
        if part.type not in _TEXTS or isinstance(part, UnreadResponsePart):
            raise misplaced_part(part, where)
        normal = {"type": "input_text", "text": _needed(part.text, f"{where}.text")}
    else:
        text = part_text(part, where, reading)
        if text is None:
            return None
        normal = {"type": "input_text", "text": text}
    if part.mark:
        normal["prompt_cache_breakpoint"] = {"mode": "explicit"}
    return normal


def _output_part(part: ContentPart, where: str, reading: RequestReading) -> OutputPart | None:
    if part.type == "refusal":
        return {"type": "refusal", "refusal": part.refusal or ""}
    odd = part.type not in _TEXTS or isinstance(part, UnreadResponsePart)
    if part.type == "kv_document" or (odd and reading.policy.unreadable_history == "refuse"):
        raise misplaced_part(part, where)
    text = part_text(part, where, reading)
    return None if text is None else {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _needed(value: _T | None, where: str) -> _T:
    if value is None:
        raise InvalidRequest(f"Missing required parameter: '{where}'.", param=where)
    return value

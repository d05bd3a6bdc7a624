"""Notes and messages in the place of Responses items and parts that the local model cannot read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvproxy.core import Role
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.history.notes import kind_of, record_note
from kvproxy.wire.history.open_question import Turn, open_question
from kvproxy.wire.responses.response_body import ContentPart, InputItem, UnreadItem, UnreadResponsePart
from kvproxy.wire.responses.types import InputMessage, OutputMessage

GONE = "[an earlier item is left out: it is no longer stored]"

_RETURNS = ("_output", "_response")
"""Endings of the types that are the results of tools."""


def question_item(items: Sequence[InputItem]) -> int | None:
    """Return the index of the user message to answer: see ``open_question``."""
    return open_question([_turn(item) for item in items])


def history_note(
    item: UnreadItem, where: str, id: str, reading: RequestReading
) -> InputMessage | OutputMessage | None:
    """Return a note in the place of an item of unknown type; None for one that the model needs no word of.

    Raises UnsupportedParameter where the policy is to refuse it. Example: ``history_note(item, "input[2]", "msg_1",
    reading)``.
    """
    if reading.policy.unreadable_history == "refuse":
        kind = kind_of(item.raw)
        raise UnsupportedParameter(
            f"Unsupported value: '{where}.type' is '{kind}', which the local model cannot read. Leave the item out.",
            param=f"{where}.type",
        )
    text = record_note(item.raw, where, reading)
    return stand_in_message(text, id, by="user" if _returned(item.raw) else "assistant") if text else None


def stand_in_message(text: str, id: str, *, by: Role) -> InputMessage | OutputMessage:
    """Return a message that stands in the place of an item.

    Example: ``stand_in_message(GONE, "msg_1", by="assistant")``.
    """
    if by == "assistant":
        return OutputMessage(
            type="message",
            id=id,
            status="completed",
            role="assistant",
            content=[{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
        )
    return InputMessage(
        type="message",
        id=id,
        status="completed",
        role="user",
        content=[{"type": "input_text", "text": text}],
    )


def part_text(part: ContentPart, where: str, reading: RequestReading) -> str | None:
    """Return the text of a part in history, of any type; None for one that needs none.

    Example: ``part_text(part, "input[0].content[1]", reading)``.
    """
    if isinstance(part, UnreadResponsePart):
        return record_note(part.raw, where, reading) or None
    return part.text or part.refusal or ""


def misplaced_part(part: ContentPart, where: str) -> InvalidRequest:
    """Return the error for a part that cannot be read where it stands."""
    param = f"{where}.type"
    if isinstance(part, UnreadResponsePart) and part.raw.get("type") is None:
        return InvalidRequest(f"Missing required parameter: '{param}'.", param=param)
    if part.type in ("input_image", "input_file", "input_audio"):
        medium = part.type.removeprefix("input_")
        return UnsupportedParameter(
            f"Unsupported value: '{param}' is '{part.type}', and the local model reads text, no {medium}. "
            "Send the text, or a kv_document.",
            param=param,
        )
    kind = kind_of(part.raw) if isinstance(part, UnreadResponsePart) else part.type
    return InvalidRequest(f"Invalid '{param}': '{kind}' is not allowed here.", param=param)


def _turn(item: InputItem) -> Turn:
    if isinstance(item, UnreadItem):
        return "tool" if _returned(item.raw) else "assistant"
    match item.type:
        case kind if kind.endswith(_RETURNS):
            return "tool"
        case "message":
            return item.role if item.role in ("user", "assistant") else "system"
        case "item_reference" | "additional_tools":
            return "system"
        case _:
            return "assistant"


def _returned(raw: dict[str, Any]) -> bool:
    return str(raw.get("type")).endswith(_RETURNS)

"""Reading a stream of named events back."""

from __future__ import annotations

import json
from typing import Any


def events_in(stream: bytes) -> list[dict[str, Any]]:
    """Return the data of every event; each must be named as its ``type`` says."""
    events = []
    for frame in stream.decode().split("\n\n"):
        lines = [line for line in frame.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue
        name, data = lines
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def message_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Put a message together as a client does: each delta must belong to a block that is open."""
    assert events[0]["type"] == "message_start" and events[-1]["type"] == "message_stop"
    message: dict[str, Any] = events[0]["message"]
    open_blocks: set[int] = set()
    inputs: dict[int, str] = {}
    for event in events[1:-1]:
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(event["content_block"])
                open_blocks.add(event["index"])
            case "content_block_delta":
                assert event["index"] in open_blocks
                _apply(event["delta"], message["content"][event["index"]], inputs, event["index"])
            case "content_block_stop":
                open_blocks.remove(event["index"])
            case "message_delta":
                assert not open_blocks
                message.update(event["delta"])
                message["usage"].update(event["usage"])
            case other:
                assert other == "ping"
    for index, text in inputs.items():
        message["content"][index]["input"] = json.loads(text)
    return message


def _apply(delta: dict[str, Any], block: dict[str, Any], inputs: dict[int, str], index: int) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            inputs[index] = inputs.get(index, "") + delta["partial_json"]

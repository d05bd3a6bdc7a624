"""Turn by turn: a conversation with tools over a document computes only the new tokens of each turn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kvproxy.core import PAGE_TOKENS
from tests.e2e.conftest import Fresh
from tests.e2e.reader import MODEL, Reader
from tests.e2e.texts import document

pytestmark = pytest.mark.e2e

TEXT = document("voyage", 5_000, 400)

LOOK_UP = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Finds a section of the document.",
        "parameters": {
            "type": "object",
            "properties": {
                "section": {"type": "string", "enum": ["preamble", "terms", "warranty"]},
                "lines": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["section", "lines"],
        },
    },
}
NOTE = {
    "type": "function",
    "function": {
        "name": "note",
        "parameters": {"type": "object", "properties": {"done": {"type": "boolean"}}},
    },
}


def reordered(tools: list[dict[str, Any]], turn: int) -> list[dict[str, Any]]:
    """The same tools as another client would write them: other order, other key order."""
    if turn % 2 == 0:
        return tools
    return [{"function": dict(reversed(t["function"].items())), "type": t["type"]} for t in reversed(tools)]


def test_cached_tokens_grow_with_every_turn(publisher: Reader, fresh: Fresh) -> None:
    publisher.publish("voyage", TEXT)
    reader = fresh()
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": f"{TEXT}\n\nUse the tools."},
        {"role": "user", "content": "What does the first section say?"},
    ]
    before, known = 0, 0
    for turn in range(6):
        create: Any = reader.client.chat.completions.create
        answer = create(
            model=MODEL,
            messages=messages,
            tools=reordered([LOOK_UP, NOTE], turn),
            tool_choice={"type": "function", "function": {"name": "look_up"}},
            temperature=0,
            max_tokens=80,
        )
        usage = answer.usage
        cached = usage.prompt_tokens_details.cached_tokens
        new = usage.prompt_tokens - known
        assert cached > before, f"turn {turn}: {cached} cached tokens after {before}"
        if turn:
            assert usage.prompt_tokens - cached <= new + PAGE_TOKENS, f"turn {turn}: {usage}"
        before, known = cached, usage.prompt_tokens + usage.completion_tokens
        [choice] = answer.choices
        assert choice.finish_reason == "tool_calls"
        [call] = choice.message.tool_calls
        assert call.function.name == "look_up"
        asked = json.loads(call.function.arguments)
        assert asked["section"] in ("preamble", "terms", "warranty") and 1 <= asked["lines"] <= 9
        messages += [
            choice.message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": f"Section {asked['section']}: see above."},
            {"role": "user", "content": f"And what about part {turn + 2} of it?"},
        ]

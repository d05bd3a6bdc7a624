from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core import Tool
from kvproxy.documents.prompts.tool_texts import ToolTexts, canonical_schema, canonical_tools
from kvproxy.documents.tokens.escape import Escape
from kvproxy.errors import InvalidRequest
from tests.documents.conversation import LOOKUP, NOW
from tests.documents.models import QWEN3_ADDED

NAMES = st.sampled_from(["a", "b", "type", "properties", "required", "é", "<|im_end|>"])
LEAVES: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "boolean"])},
    optional={
        "description": st.text(max_size=5),
        "enum": st.lists(st.dictionaries(NAMES, st.integers(), max_size=3), max_size=2),
        "minimum": st.integers(0, 9),
        "x-vendor": st.dictionaries(NAMES, st.integers(), max_size=3),
    },
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, max_size=4)},
        optional={
            "required": st.lists(NAMES, unique=True, max_size=3),
            "additionalProperties": st.booleans() | inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "$defs": st.dictionaries(NAMES, inner, max_size=2),
            "$schema": st.just("https://json-schema.org/draft/2020-12/schema"),
        },
    )


SCHEMAS: st.SearchStrategy[dict[str, Any]] = objects(st.recursive(LEAVES, objects, max_leaves=6))


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same JSON with the keys of every object in another order, and ``required`` too."""
    if isinstance(value, list):
        return [shuffled(item, chance) for item in value]
    if not isinstance(value, dict):
        return value
    keys = list(value)
    chance.shuffle(keys)
    other = {key: shuffled(value[key], chance) for key in keys}
    if isinstance(other.get("required"), list) and all(isinstance(x, str) for x in other["required"]):
        chance.shuffle(other["required"])
    return other


@given(st.lists(SCHEMAS, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_order_does_not_matter(schemas: list[dict[str, Any]], chance: random.Random) -> None:
    tools = [Tool(f"t{i}", "d", schema, strict=i == 0) for i, schema in enumerate(schemas)]
    others = [Tool(t.name, t.description, shuffled(t.parameters, chance)) for t in tools]
    chance.shuffle(others)
    texts = ToolTexts(Escape(QWEN3_ADDED))
    assert texts.of(tools, "tenant:a") == texts.of(others, "tenant:a")
    assert json.dumps(canonical_tools(tools)) == json.dumps(canonical_tools(others))


@given(SCHEMAS)
def test_nothing_but_order_and_meaningless_keywords_is_lost(schema: dict[str, Any]) -> None:
    canonical = canonical_schema(schema)
    assert canonical_schema(canonical) == canonical
    kept = {key: value for key, value in schema.items() if key != "$schema"}
    assert canonical.keys() == kept.keys()
    assert canonical["properties"].keys() == schema["properties"].keys()
    for name, inner in schema["properties"].items():
        assert canonical["properties"][name].keys() == inner.keys() - {"$schema"}


def test_the_canonical_form() -> None:
    assert json.dumps(canonical_tools([NOW, LOOKUP])) == (
        '[{"type": "function", "function": {"name": "lookup", "description": "Find a word.", "parameters": '
        '{"type": "object", "properties": {"limit": {"type": "integer", "minimum": 1}, "word": '
        '{"type": "string"}}, "required": ["limit", "word"]}}}, {"type": "function", "function": {"name": '
        '"now", "parameters": {"type": "object", "properties": {}}}}]'
    )


def test_a_property_may_have_any_name() -> None:
    schema = {
        "type": "object",
        "properties": {"strict": {"type": "string"}, "$id": {}, "enum": {"type": "null"}},
    }
    assert canonical_schema(schema) == schema


def test_tools_are_remembered_only_so_many() -> None:
    texts = ToolTexts(Escape(QWEN3_ADDED))
    first = texts.of([LOOKUP], "tenant:a")
    assert texts.of([LOOKUP], "tenant:a") is first
    for i in range(texts.ENTRIES):
        texts.of([Tool(f"t{i}")], "tenant:a")
    assert texts.of([LOOKUP], "tenant:a") is not first
    large = [Tool("t", "x" * texts.CHARACTERS)]
    assert texts.of(large, "tenant:a") is not texts.of(large, "tenant:a")


def test_tools_that_cannot_be_text() -> None:
    texts = ToolTexts(Escape(QWEN3_ADDED))
    with pytest.raises(InvalidRequest, match="surrogate") as caught:
        texts.of([Tool("t", "\ud800")], "tenant:a")
    assert caught.value.param == "tools"
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"items": deep}
    with pytest.raises(InvalidRequest, match="nested") as caught:
        texts.of([Tool("t", None, deep)], "tenant:a")
    assert caught.value.param == "tools"

"""Constraints on the way to a replica: written and tried here."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from kvproxy.backends.fleet.fleet_grammars import FleetGrammars
from kvproxy.core import Constraint, Sampling, Tool, ToolChoice
from kvproxy.core.answer_format import GrammarFormat, JsonFormat
from kvproxy.errors import UnsupportedSchema
from tests.backends.fleet.conftest import ModelTexts, OpenRig
from tests.backends.fleet.fleet_requests import ALICE, BOB, a_generation, answer_of

PROMPT = tuple(range(1000, 1100))


@pytest.fixture
def grammars(texts: ModelTexts) -> Iterator[FleetGrammars]:
    made = FleetGrammars(texts.folder, texts.tokenizer.size, texts.tokenizer.eos_ids)
    yield made
    made.close()


async def test_a_grammar_is_written_once_for_each_tenant(grammars: FleetGrammars) -> None:
    constraint = Constraint(
        format=JsonFormat({"type": "object", "properties": {"a": {"type": "integer"}}}, False)
    )
    first = await grammars.written(constraint, ALICE)
    assert await grammars.written(constraint, ALICE) is first
    assert await grammars.written(constraint, BOB) is not first  # its time tells nothing of Alice's requests
    assert "%json" in first.text and first.left_out == ()


async def test_forced_calls_are_a_grammar_of_the_models_own_marks(grammars: FleetGrammars) -> None:
    constraint = Constraint(
        tools=(Tool("weather", parameters={"type": "object"}),), choice=ToolChoice("required")
    )
    text = (await grammars.written(constraint, ALICE)).text
    assert "<tool_call>" in text and "weather" in text


async def test_an_answer_follows_its_schema(rig: OpenRig) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    async with rig(1) as fleet:
        constraint = Constraint(format=JsonFormat(schema))
        sampling = Sampling(max_tokens=100)
        found = await answer_of(fleet.backend, a_generation(PROMPT, sampling=sampling, constraint=constraint))
        assert found.text.startswith('{"a": ')
        assert "a" in json.loads(found.text)


async def test_a_schema_that_cannot_be_enforced_names_its_field(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        constraint = Constraint(format=GrammarFormat("start: nobody", "lark", "response_format"))
        with pytest.raises(UnsupportedSchema) as failed:
            await answer_of(fleet.backend, a_generation(PROMPT, constraint=constraint))
        assert failed.value.param == "response_format"
        assert len(fleet["a"].requests) == 0

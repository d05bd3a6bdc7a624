from __future__ import annotations

import json

import pytest

from kvproxy.backends.fleet.answer_structure import structure_fields
from kvproxy.core import Constraint, GrammarText, Tool
from kvproxy.core.answer_format import AnswerFormat, ChoiceFormat, GrammarFormat, JsonFormat, RegexFormat
from kvproxy.errors import UnsupportedSchema


def test_sglang_takes_a_schema_or_a_pattern_alone() -> None:
    schema = structure_fields(Constraint(format=JsonFormat({"type": "integer"})), None, "sglang")
    assert json.loads(schema["json_schema"]) == {"type": "integer"}
    assert structure_fields(Constraint(format=RegexFormat("a+")), None, "sglang") == {"regex": "a+"}


@pytest.mark.parametrize(
    ("wanted", "tools", "param"),
    [
        (ChoiceFormat(("a",), "guided_choice"), (), "guided_choice"),
        (JsonFormat(), (Tool("f"),), "response_format"),
        (None, (Tool("f"),), "tools"),
    ],
)
def test_what_sglang_cannot_enforce_names_its_field(
    wanted: AnswerFormat | None, tools: tuple[Tool, ...], param: str
) -> None:
    with pytest.raises(UnsupportedSchema) as failed:
        structure_fields(Constraint(format=wanted, tools=tools), None, "sglang")
    assert failed.value.param == param


def test_vllm_gets_the_grammar_itself() -> None:
    found = structure_fields(Constraint(format=JsonFormat()), GrammarText("start: x"), "vllm")
    assert found == {"structured_outputs": {"grammar": "start: x"}}


def test_a_clients_own_lark_grammar_is_sent_alone() -> None:
    beside, own = GrammarText('{"grammars": []}'), GrammarFormat('start: "a"', "lark", "guided_grammar")
    found = structure_fields(Constraint(format=own), beside, "vllm")
    assert found == {"structured_outputs": {"grammar": 'start: "a"'}}
    for more in (Constraint(format=own, tools=(Tool("f"),)), Constraint(format=own, reasoning="may")):
        with pytest.raises(UnsupportedSchema) as failed:
            structure_fields(more, beside, "vllm")
        assert failed.value.param == "guided_grammar"

"""The text of a grammar; its language is tested on vocabularies in tests/engine/decode/test_compiled_grammars.py."""

from __future__ import annotations

import pytest

from kvproxy.core import Constraint, JsonFormat, Tool, ToolCall, ToolChoice
from kvproxy.errors import InvalidRequest, UnsupportedSchema
from kvproxy.events import Finished, TextDelta, Usage
from kvproxy.wire.answer_formats.answer_grammar import CALL_FORMATS, grammar_of
from kvproxy.wire.answers.answer_reader import AnswerBuilder, AnswerParser
from kvproxy.wire.schemas.blamed_keyword import explain_rejection
from kvproxy.wire.tool_formats.known_formats import FORMATS

SPECIAL = ("<think>", "</think>", "<tool_call>", "</tool_call>")
FORCED = ToolChoice("required")
ANY = Tool("any", parameters={"type": "object", "properties": {"a": {"type": "null"}}})


def test_marks_are_tokens_where_the_model_has_them_and_text_elsewhere() -> None:
    wanted = Constraint(tools=(ANY,), choice=FORCED, reasoning="may")
    with_tokens, with_text = grammar_of(wanted, SPECIAL).text, grammar_of(wanted, ()).text
    assert " <tool_call> call </tool_call>" in with_tokens.replace("(", " ")
    assert '"<tool_call>" call "</tool_call>"' in with_text
    assert '"<think>"' not in with_tokens
    assert '"<think>"' in with_text


def test_the_grammar_of_equal_constraints_is_equal() -> None:
    texts = {grammar_of(Constraint(format=JsonFormat({"b": 1, "type": "object"}))).text for _ in range(3)}
    assert len(texts) == 1


@pytest.mark.parametrize("choice", [FORCED, ToolChoice("auto"), ToolChoice("required", ("a",))])
def test_only_tools_that_may_be_called_are_named(choice: ToolChoice) -> None:
    text = grammar_of(Constraint(tools=(Tool("a", strict=True), Tool("b")), choice=choice)).text
    assert '\\"a\\"' in text
    assert ('\\"b\\"' in text) is not bool(choice.names)


def test_no_call_is_named_where_none_may_be_made() -> None:
    wanted = Constraint(tools=(ANY,), choice=ToolChoice("none"), format=JsonFormat())
    assert "tool_call" not in grammar_of(wanted).text


@pytest.mark.parametrize("special", [(), SPECIAL])
def test_a_name_is_quoted_twice(special: tuple[str, ...]) -> None:
    text = grammar_of(Constraint(tools=(Tool('q"\\', strict=True),), choice=FORCED), special).text
    assert r"\"q\\\"\\\\\"" in text


def test_formats_without_a_generating_side_are_refused() -> None:
    for name in FORMATS.keys() - CALL_FORMATS.keys():
        with pytest.raises(InvalidRequest, match=name) as caught:
            grammar_of(Constraint(tools=(ANY,), choice=FORCED, tool_format=name))
        assert caught.value.param == "tool_choice"
    assert CALL_FORMATS.keys() <= FORMATS.keys()


@pytest.mark.parametrize("name", CALL_FORMATS)
def test_generated_calls_are_parsed_back(name: str) -> None:
    form = CALL_FORMATS[name]

    def call(name: str, arguments: str) -> str:
        inner = f'{form.before_name}"{name}"{form.before_arguments}{arguments}{form.after_arguments}'
        return f"{form.begin}{inner}{form.end}"

    made = [call("find", '{"q": "a } \\" b"}')]
    if form.between is not None:
        made.append(call("now", "{}"))
    parser, builder = AnswerParser(reasoning="none", tool_format=name), AnswerBuilder()
    for event in parser.push(TextDelta((form.between or "").join(made))):
        builder.add(event)
    for event in parser.finish(Finished("stop", Usage(1, 1, 0))):
        if isinstance(event, Finished):
            assert event.reason == "tool_calls"
        else:
            builder.add(event)
    answer = builder.answer("tool_calls")
    assert answer.text == ""
    expected = [("find", '{"q": "a } \\" b"}'), ("now", "{}")][: len(made)]
    assert [(c.name, c.arguments) for c in answer.calls] == expected
    assert all(isinstance(c, ToolCall) and c.id for c in answer.calls)


def test_the_checks_message_names_the_tool_and_its_place() -> None:
    def check(grammar: str) -> str | None:
        return "oneOf constraints are not supported" if '"oneOf"' in grammar else None

    either = Tool("either", parameters={"type": "object", "oneOf": [{}, {}]}, strict=True)
    with pytest.raises(UnsupportedSchema, match="function 'either': 'oneOf' cannot be enforced") as caught:
        grammar_of(Constraint(tools=(ANY, either)), (), check)
    assert caught.value.param == "tools[1].function.parameters"
    unasked = Tool(either.name, None, either.parameters, strict=True, assumed=True)
    assert '"oneOf"' not in grammar_of(Constraint(tools=(ANY, unasked)), (), check).text


def test_arguments_are_an_object() -> None:
    odd = {"type": "string"}
    with pytest.raises(UnsupportedSchema, match="'type' must be 'object'"):
        grammar_of(Constraint(tools=(Tool("f", parameters={**odd, "minLength": 1}, strict=True),)))
    assert (
        '"type": "object"'
        in grammar_of(Constraint(tools=(Tool("f", parameters={**odd, "minLength": 1}),), choice=FORCED)).text
    )


def test_blame_is_one_line() -> None:
    message = (
        "at 1(8): failed to compile JSON schema: regex parse error:\n  (?=a)\nerror: look-around is out\n"
    )
    assert (
        explain_rejection(message) == "'pattern' cannot be enforced (regex parse error: look-around is out)"
    )
    assert explain_rejection("Invalid type: foo") == "it cannot be enforced (Invalid type: foo)"


def test_the_grammar_that_a_message_repeats_is_not_to_blame() -> None:
    source = '   1 | start: %json {"maximum": 5, "oneOf": []}'
    told = explain_rejection(
        f"at 1(8): failed to compile JSON schema: regex parse error:\nerror: look-around is out\n{source}\n"
    )
    assert told == "'pattern' cannot be enforced (regex parse error: look-around is out)"
    assert explain_rejection(f"Invalid type: foo\n{source}") == "it cannot be enforced (Invalid type: foo)"

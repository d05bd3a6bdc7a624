from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.wire.tools.free_form import InputReader, TextFormatBody, arguments_of, free_form, input_of
from tests.wire.answer_parsing import cuts, pieces


def read(arguments: str, at: list[int]) -> tuple[str, str]:
    """Return the texts that came while it was written, and at the end."""
    reader = InputReader()
    told = "".join(reader.push(piece) for piece in pieces(arguments, at))
    return told, reader.end()


@given(st.text(), cuts, st.booleans())
def test_the_text_comes_out_however_it_is_split(text: str, at: list[int], ascii: bool) -> None:
    whole = "".join(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    arguments = json.dumps({"input": text}, ensure_ascii=ascii) if ascii else arguments_of(whole)
    assert "".join(read(arguments, at)) == whole == input_of(arguments)


@given(
    st.lists(
        st.sampled_from(
            ['{"input": "', "{", '"', "\\", "\\u", "d83d", "\\ude00", "\\ud83d", "n", "}", "é", "\n"]
        )
    ).map("".join),
    cuts,
)
def test_broken_arguments_give_the_same_text_however_they_are_split(arguments: str, at: list[int]) -> None:
    assert "".join(read(arguments, at)) == input_of(arguments)
    input_of(arguments).encode()


def test_text_comes_out_as_it_is_written() -> None:
    reader = InputReader()
    told = [reader.push(piece) for piece in ('{"input": "a', "\\", 'n"q', "\\u00", 'e9b"', "}")]
    assert told == ["a", "", "\n", "", "", ""]
    assert read('{"input": "ab', [12]) == ("ab", "")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"patch": "p"}', "p"),
        ('{"a": 1, "input": "p"}', "p"),
        ('"p"', "p"),
        ('"p\\ude00"', "p\ufffd"),
        ('{"patch": "\\ud83d\\ude00\\ud83d"}', "\U0001f600\ufffd"),
        ('{"a": 1, "input": "\\ud83dp"}', "\ufffdp"),
        ('{"input": 5}', '{"input": 5}'),
        ('{"a": "x", "b": "y"}', '{"a": "x", "b": "y"}'),
        ("plain", "plain"),
        ("", ""),
        ('{"input": "\\x\\u00zz\\ud83d!"}', "\\x\\u00zz\ufffd!"),
    ],
)
def test_arguments_of_another_shape_are_not_lost(arguments: str, text: str) -> None:
    assert input_of(arguments) == text


def test_a_regular_expression_is_enforced_and_a_lark_grammar_described() -> None:
    plain = free_form("run", "Runs it.", None)
    assert plain.description == "Runs it." and plain.form == "custom" and plain.strict and plain.assumed
    regex = free_form("run", None, TextFormatBody(type="grammar", syntax="regex", definition="[ab]+|c"))
    assert regex.parameters is not None
    assert regex.parameters["properties"]["input"]["pattern"] == "^(?:[ab]+|c)$"
    nested = TextFormatBody.model_validate(
        {"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: "a"'}}
    )
    lark = free_form("run", "Runs it.", nested)
    assert lark.description == 'Runs it.\n\n`input` must match this Lark grammar:\nstart: "a"'
    assert lark.parameters == plain.parameters

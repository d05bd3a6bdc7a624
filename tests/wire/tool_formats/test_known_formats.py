from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.core import Tool, ToolCall
from kvproxy.events import ToolCallDelta
from kvproxy.wire.tool_formats.known_formats import FORMATS
from tests.wire.answer_parsing import cuts, events_of, parsed_answer, pieces, texts_of

FRAGMENTS = {
    "hermes": (
        "<tool_call>",
        "</tool_call>",
        '\n{"name": "f", "arguments": {"a": "x}</tool_call>\\"", "b": [1, {}]}}\n',
        '{"name": "f", "arguments": ',
        '{"arguments": "{\\"a\\": 1}", "name": "g"}',
        '{"name": "f"',
        '"name": "f", ',
        "Hello. ",
    ),
    "llama3_json": (
        "<|python_tag|>",
        '{"name": "f", "parameters": {"a": 1}}',
        '{"name": "f", "parameters": ',
        '{"name": "Bob", "age": 7}',
        "; ",
        "Hello. ",
    ),
    "mistral": (
        "[TOOL_CALLS]",
        '[{"name": "f", "arguments": {"a": [1]}}, {"name": "g", "arguments": {}}]',
        '{"name": "f", "arguments": {"a": 1}}',
        'f[ARGS]{"a": 1}',
        'f[CALL_ID]abc[ARGS]{"a": 1}',
        "[ARGS]",
        "]",
        "Hello. ",
    ),
    "qwen3_coder": (
        "<tool_call>",
        "</tool_call>",
        "\n<function=f>\n",
        "<parameter=a>\n1\n</parameter>\n",
        "<parameter=b>\nhi <b>\n</parameter>\n",
        "</function>\n",
        "Hello. ",
    ),
}
BROKEN = [
    "<tool_call>",
    "<tool_call>no json</tool_call>",
    "<tool_call>[1]</tool_call>",
    "<tool_call>{}</tool_call>",
    '<tool_call>{"name": 5, "arguments": {}}</tool_call>',
    '<tool_call>{"name": "a b", "arguments": {}}</tool_call>',
    '<tool_call>{"arguments": {"a": 1}}</tool_call>',
    '<tool_call>{"arguments": {"a": 1',
    'if a <tool_call and "b"',
    " \n",
]


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data(), cuts=cuts)
@settings(deadline=None, max_examples=50)
def test_any_split_gives_the_same_answer(name: str, data: st.DataObject, cuts: list[int]) -> None:
    text = data.draw(texts_of(*FRAGMENTS[name]))
    whole = parsed_answer([text] if text else [], tool_format=name)
    assert parsed_answer(pieces(text, cuts), tool_format=name) == whole
    assert parsed_answer(list(text), tool_format=name) == whole


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
@settings(deadline=None, max_examples=50)
def test_every_word_comes_out_somewhere(name: str, data: st.DataObject) -> None:
    """Marks between fragments are layout; an unknown word has to come out, in any surroundings."""
    fragments = data.draw(st.lists(st.sampled_from((*FRAGMENTS[name], "QQ", " QQ ")), max_size=12))
    text = "".join(fragments)
    got = parsed_answer([text] if text else [], tool_format=name)
    everything = got.text + "".join(f"{n}{arguments}" for n, arguments in got.calls)
    assert everything.count("QQ") == text.count("QQ")


@pytest.mark.parametrize("name", FORMATS)
@given(text=st.text(alphabet="ab \n.é\U0001f600", max_size=40), cuts=cuts)
@settings(deadline=None, max_examples=50)
def test_text_without_calls_is_untouched(name: str, text: str, cuts: list[int]) -> None:
    got = parsed_answer(pieces(text, cuts), tool_format=name)
    assert got.text == text
    assert got.calls == [] and got.reason == "stop"


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", ["hermes", "llama3_json", "mistral"])
@given(
    arguments=st.lists(st.dictionaries(st.text(max_size=5), json_values), min_size=1, max_size=3), cuts=cuts
)
@settings(deadline=None, max_examples=50)
def test_written_calls_are_parsed_back(name: str, arguments: list[dict[str, Any]], cuts: list[int]) -> None:
    calls = [ToolCall("", f"f-{i}", json.dumps(x, ensure_ascii=False)) for i, x in enumerate(arguments)]
    got = parsed_answer(pieces(FORMATS[name].write(calls), cuts), tool_format=name)
    assert got.calls == [(call.name, call.arguments) for call in calls]
    assert got.text == "" and got.reason == "tool_calls"


@pytest.mark.parametrize("text", BROKEN)
def test_text_without_a_call_comes_out_as_text(text: str) -> None:
    got = parsed_answer(list(text))
    assert (got.text, got.calls, got.reason) == (text, [], "stop")


def test_a_name_comes_out_before_its_arguments_and_these_as_they_come() -> None:
    texts = [
        "Sure.\n",
        "<tool",
        '_call>\n{"name": "get',
        '_it"',
        ', "arguments": {"a',
        '": "<',
        'b>"}',
        "}\n</tool_call>",
    ]
    *events, _ = events_of(texts)
    calls = [e for e in events if isinstance(e, ToolCallDelta)]
    assert [(c.index, c.name, c.arguments) for c in calls] == [
        (0, "get_it", ""),
        (0, None, '{"a'),
        (0, None, '": "<'),
        (0, None, 'b>"}'),
    ]
    assert calls[0].id and all(c.id is None for c in calls[1:])
    assert parsed_answer(texts).text == "Sure."


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        ('<tool_call>{"name": "f"}</tool_call>', "", [("f", "{}")]),
        ('<tool_call>{"name": "f", "arguments": null}</tool_call>', "", [("f", "{}")]),
        ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', "", [("f", '{"a": 1}')]),
        ('<tool_call>{"arguments": {"a": 1}, "id": 7, "name": "f"}</tool_call>', "", [("f", '{"a": 1}')]),
        # What small models do: a brace or the closing mark is missing, or one brace is too many.
        ('<tool_call>{"name": "f", "arguments": {"a": 1}</tool_call>', "", [("f", '{"a": 1}')]),
        ('<tool_call>{"name": "f", "arguments": {"a": 1}}', "", [("f", '{"a": 1}')]),
        ('<tool_call>{"name": "f", "arguments": {}}}\n</tool_call>', "}\n</tool_call>", [("f", "{}")]),
        ('<tool_call><tool_call>{"name": "f"}', "<tool_call>", [("f", "{}")]),
        # Behind its name all is arguments, and nothing is closed.
        ('<tool_call>{"name": "f", "arguments": {"a": "x', "", [("f", '{"a": "x')]),
        ('<tool_call>{"name": "f", "arguments": "{\\"a', "", [("f", '"{\\"a')]),
        ('<tool_call>{"name": "f", "arguments": {\'a\': 1}}</tool_call>.', ".", [("f", "{'a': 1}}")]),
        # Text beside calls stays, white space alone does not.
        (
            ' \n<tool_call>{"name": "f"}</tool_call>\n<tool_call>{"name": "g"}</tool_call>\n',
            "",
            [("f", "{}"), ("g", "{}")],
        ),
        ('a\n\n<tool_call>{"name": "f"}</tool_call> b ', "a\n b ", [("f", "{}")]),
        ('a<tool_call>{"name": "f"}</tool_call>é\n<tool_call>x', "aé\n<tool_call>x", [("f", "{}")]),
    ],
)
def test_hermes(text: str, said: str, calls: list[tuple[str, str]]) -> None:
    got = parsed_answer(list(text))
    assert (got.text, got.calls) == (said, calls)


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        ('<|python_tag|>{"name": "f", "parameters": {"a": 1}}', "", [("f", '{"a": 1}')]),
        (
            '{"name": "f", "parameters": {}}; {"name": "g", "arguments": {"b": 2}}',
            "",
            [("f", "{}"), ("g", '{"b": 2}')],
        ),
        ('{"name": "Bob", "age": 3}', '{"name": "Bob", "age": 3}', []),
        ('{"name": "Bob", "parameters": [1]}', '{"name": "Bob", "parameters": [1]}', []),
        ('It is {"name": "f", "parameters": {}}', 'It is {"name": "f", "parameters": {}}', []),
        ('{"name": "f", "parameters": {}} there', "there", [("f", "{}")]),
        ('{"parameters": {"a": 1}, "name": "f"}', "", [("f", '{"a": 1}')]),
    ],
)
def test_llama3_json(text: str, said: str, calls: list[tuple[str, str]]) -> None:
    got = parsed_answer(list(text), tool_format="llama3_json")
    assert (got.text.strip(), got.calls) == (said, calls)


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        ('[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g{"b": 2}', "", [("f", '{"a": 1}'), ("g", '{"b": 2}')]),
        ('[TOOL_CALLS]f[CALL_ID]abc[ARGS]{"a": 1}', "", [("f", '{"a": 1}')]),
        ('ok [TOOL_CALLS] [{"name": "f", "arguments": {}}]', "ok ", [("f", "{}")]),
        ("[TOOL_CALLS][]", "[TOOL_CALLS][]", []),
        ("[TOOL_CALLS] hello you", "[TOOL_CALLS] hello you", []),
        ("[TOOL_CALLS]hello", "[TOOL_CALLS]hello", []),
        ('[TOOL_CALLS][{"name": "f", "arguments": {}}, oops', ", oops", [("f", "{}")]),
    ],
)
def test_mistral(text: str, said: str, calls: list[tuple[str, str]]) -> None:
    got = parsed_answer(list(text), tool_format="mistral")
    assert (got.text, got.calls) == (said, calls)


def test_qwen3_coder_takes_types_from_the_tools() -> None:
    tool = Tool("f", parameters={"properties": {"zip": {"type": "string"}, "n": {"type": "integer"}}})
    call = ToolCall("", "f", '{"zip": "0815", "n": 3, "free": [1], "text": "two\\nlines"}')
    text = FORMATS["qwen3_coder"].write([call])
    got = parsed_answer(list(text), tool_format="qwen3_coder", tools=[tool])
    assert got.calls == [("f", call.arguments)]
    untyped = parsed_answer([text], tool_format="qwen3_coder")
    assert json.loads(untyped.calls[0][1])["n"] == 3
    assert parsed_answer(
        ["<tool_call><function=f></function></tool_call>"], tool_format="qwen3_coder"
    ).calls == [("f", "{}")]


@pytest.mark.parametrize("name", FORMATS)
def test_a_name_may_be_as_long_as_the_longest_of_any_dialect(name: str) -> None:
    call = ToolCall("", "mcp__" + "a" * 123, '{"a": 1}')
    tools = [Tool(call.name)]
    got = parsed_answer([FORMATS[name].write([call])], tool_format=name, tools=tools)
    assert (got.text, got.calls) == ("", [(call.name, call.arguments)])

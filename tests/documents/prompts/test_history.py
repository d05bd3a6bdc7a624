from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core import ChatRequest, Message, ToolCall
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.history import AnsweredCall, answered, spaced
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import InvalidRequest
from tests.documents import templates
from tests.documents.conversation import ALICE, LOOKUP, NOW, message, result
from tests.documents.models import SMOLLM2_TEMPLATE

ONE = ToolCall("call_a", "lookup", '{"word":"x",  "limit": 1.50}')
TWO = ToolCall("call_b", "now", "")
ASKED = message("user", "Find x.")
CALLED = message("assistant", "", ONE, TWO)


@pytest.fixture(scope="module")
def tokenizer(qwen3: Path) -> Tokenizer:
    return Tokenizer.load(qwen3)


def shown(tokenizer: Tokenizer, source: str, *messages: Message, tools: bool = False) -> str:
    """The prompt as text."""
    composer = Composer(tokenizer, ChatTemplate(source), Library())
    request = ChatRequest("m", messages, tools=(LOOKUP, NOW) if tools else ())
    return tokenizer.decode(composer.compose(request, ALICE).token_ids, skip_special=False)


def test_results_find_their_calls() -> None:
    messages = [ASKED, CALLED, result("call_b", "noon"), result("call_a", "y"), CALLED, result("call_a", "z")]
    assert answered(messages) == {
        2: AnsweredCall(2, "now"),
        3: AnsweredCall(1, "lookup"),
        5: AnsweredCall(3, "lookup"),
    }


@pytest.mark.parametrize(
    ("messages", "param", "text"),
    [
        ([ASKED, result("call_a", "y")], "messages[1]", "must be a response to a preceeding message with"),
        ([ASKED, CALLED, result("call_c", "y")], "messages[2].tool_call_id", "'call_c' not found"),
        (
            [ASKED, CALLED, result("call_a", "y"), result("call_a", "y")],
            "messages[3].tool_call_id",
            "'call_a' not found",
        ),
        ([message("assistant", "", ONE, ONE)], "messages[0].tool_calls[1].id", "duplicate"),
    ],
)
def test_results_without_a_call(messages: list[Message], param: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=text) as caught:
        answered(messages)
    assert caught.value.param == param


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON_VALUES), st.sampled_from([None, 0, 2]), st.booleans())
def test_white_space_of_arguments_does_not_matter(
    arguments: dict[str, Any], indent: int | None, tight: bool
) -> None:
    separators = (",", ":") if tight else None
    text = json.dumps(arguments, ensure_ascii=False, indent=indent, separators=separators)
    assert spaced(text) == json.dumps(arguments, ensure_ascii=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "{}"),
        (" \n", "{}"),
        ('{"a":1.50,"b":1E5}', '{"a": 1.50, "b": 1E5}'),
        ('{"b":",:","a":"\\u00e9\\""}', '{"b": ",:", "a": "\\u00e9\\""}'),
        ("[1]", None),
        ("1", None),
        ("{", None),
        ('{"a": NaN}', None),
        ("[" * 100_000, None),
    ],
)
def test_arguments(text: str, expected: str | None) -> None:
    assert spaced(text) == expected


def test_calls_where_the_template_knows_none(tokenizer: Tokenizer) -> None:
    text = shown(tokenizer, SMOLLM2_TEMPLATE, ASKED, CALLED, result("call_b", "noon"), result("call_a", "y"))
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nFind x.<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "lookup", "arguments": {"word": "x", "limit": 1.50}}\n'
        '</tool_call>\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\nnoon\n</tool_response>\n<tool_response>\ny\n</tool_response>"
        "<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_tool_block_has_the_words_of_qwen3(qwen3: Path, tokenizer: Tokenizer) -> None:
    conversation = [
        message("system", "Be brief."),
        ASKED,
        message("assistant", "Well.\n", ONE, TWO),
        result("call_a", "y"),
        result("call_b", "noon"),
    ]
    own = shown(tokenizer, templates.CHATML, *conversation, tools=True)
    assert own == shown(tokenizer, ChatTemplate.load(qwen3).source, *conversation, tools=True)
    assert "Be brief.\n\n# Tools" in own and "Well.\n<tool_call>" in own


def test_the_place_of_the_tool_block(tokenizer: Tokenizer) -> None:
    default = shown(tokenizer, SMOLLM2_TEMPLATE, ASKED, tools=True)
    assert default.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert "Hugging Face\n\n# Tools\n\n" in default and default.count("<|im_start|>") == 3
    bare = shown(tokenizer, templates.CHATML, ASKED, tools=True)
    assert bare.startswith("<|im_start|>system\n# Tools\n\n")
    empty = shown(tokenizer, templates.CHATML, message("system"), ASKED, tools=True)
    assert empty == bare
    refused = shown(tokenizer, templates.NO_SYSTEM, ASKED, tools=True)
    assert refused.startswith("<|im_start|>user\n# Tools\n\n")
    assert refused.endswith("</tool_call>\n\nFind x.<|im_end|>\n<|im_start|>assistant\n")


def test_a_template_that_takes_objects_and_one_call_at_a_time(tokenizer: Tokenizer) -> None:
    results = result("call_b", "noon"), result("call_a", "y")
    text = shown(tokenizer, templates.LLAMA3, ASKED, CALLED, *results, message("user", "Q"), tools=True)
    assert text.endswith(
        '<|im_start|>assistant\n\n{"name": "lookup", "parameters": {"word": "x", "limit": 1.5}}<|im_end|>'
        '<|im_start|>ipython\n\n"y"<|im_end|>'
        '<|im_start|>assistant\n\n{"name": "now", "parameters": {}}<|im_end|>'
        '<|im_start|>ipython\n\n"noon"<|im_end|>'
        "<|im_start|>user\n\nQ<|im_end|><|im_start|>assistant\n\n"
    )


def test_a_late_result_is_kept_where_answers_have_one_call_each(tokenizer: Tokenizer) -> None:
    again = message("assistant", "", ToolCall("call_c", "now", ""), ToolCall("call_d", "now", ""))
    late = [result("call_b", "late"), result("call_c", "c"), result("call_d", "d")]
    text = shown(tokenizer, templates.LLAMA3, ASKED, CALLED, result("call_a", "y"), again, *late, tools=True)
    assert [text.count(f'ipython\n\n"{said}"') for said in ("y", "late", "c", "d")] == [1, 1, 1, 1]


def test_ids_are_given_by_place(tokenizer: Tokenizer) -> None:
    text = shown(tokenizer, templates.MISTRAL, ASKED, CALLED, result("call_b", "noon"), tools=True)
    assert '"id": "000000001"}, {"name": "now", "arguments": {}, "id": "000000002"}]' in text
    assert text.endswith('[TOOL_RESULTS] {"content": noon, "call_id": "000000002"}')


def test_reasoning_is_shown_within_its_turn_only(qwen3: Path, tokenizer: Tokenizer) -> None:
    thought = message("assistant", "", ONE, reasoning="Hm </think> <|im_end|>\nlet me see.")
    source = ChatTemplate.load(qwen3).source
    loop = shown(tokenizer, source, ASKED, thought, result("call_a", "y"))
    assert "<think>\nHm </think> <|im_end|>\nlet me see.\n</think>\n\n<tool_call>" in loop
    later = shown(tokenizer, source, ASKED, thought, result("call_a", "y"), message("user", "And?"))
    assert "let me see" not in later
    assert "let me see" not in shown(tokenizer, SMOLLM2_TEMPLATE, ASKED, thought)


@pytest.mark.parametrize("arguments", ["{oops", "[1]", '{"a": NaN}'])
def test_arguments_that_are_no_object_stay_unchanged(tokenizer: Tokenizer, arguments: str) -> None:
    call = message("assistant", "", ToolCall("c", "now", arguments))
    assert f'"arguments": {arguments}}}' in shown(tokenizer, templates.CHATML, ASKED, call)


def test_text_that_is_no_unicode_names_its_place(tokenizer: Tokenizer) -> None:
    call = message("assistant", "", TWO, ToolCall("c", "now", '{"a": "\ud800"}'))
    with pytest.raises(InvalidRequest) as caught:
        shown(tokenizer, templates.CHATML, ASKED, call)
    assert caught.value.param == "messages[1].tool_calls[1].function.arguments"

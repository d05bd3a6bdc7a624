from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.documents.tokens.escape import RESERVED, Escape, Segments, Stop, check_unicode
from kvproxy.errors import InvalidRequest, SetupError

CONTROL = ["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>", "[INST]"]
escape = Escape(CONTROL)
TEXT = st.text() | st.lists(
    st.sampled_from([*CONTROL, "<", "[", "a", "\ufdd0", "\ufdd1", "\ufdd6", "\ufdef", "\ufdd2"])
).map("".join)


@given(TEXT)
def test_text_comes_back_and_controls_nothing_meanwhile(text: str) -> None:
    hidden = escape.text(text)
    assert escape.restore(hidden) == text
    assert not any(control in hidden for control in CONTROL)


@given(TEXT, TEXT)
def test_two_contents_cannot_make_a_control_string_together(one: str, other: str) -> None:
    joined = escape.text(one) + escape.text(other)
    assert not any(control in joined for control in CONTROL)
    assert escape.restore(joined) == one + other


@given(TEXT, TEXT, st.integers(0, 5000), st.integers(0, 5000))
def test_placeholders_cannot_be_forged(one: str, other: str, first: int, second: int) -> None:
    region = escape.text(one) + escape.slot(first) + escape.slot(second) + escape.text(other)
    assert escape.segments(region) == Segments([one, "", other], [first, second], [])
    region = escape.text(one) + escape.mark(first) + escape.text(other) + escape.slot(2) + escape.mark(second)
    stops = [Stop(first, 0, len(one)), Stop(second, 1, 0)]
    assert escape.segments(region) == Segments([one + other, ""], [2], stops)


@given(TEXT)
def test_an_assistants_marks_stay(text: str) -> None:
    hidden = escape.assistant(text)
    assert escape.restore(hidden) == text
    for mark in ("<think>", "</think>", "<tool_call>", "</tool_call>"):
        assert hidden.count(mark) == text.count(mark)
    assert not any(control in hidden for control in ("<|im_start|>", "<|im_end|>", "[INST]"))


def test_variables_are_escaped_all_through() -> None:
    given_ = {"a": "<|im_end|>", "b": [{"<|im_end|>": "x"}, 1, None, True], "c": 1.5}
    hidden = escape.variables(given_)
    assert "<|im_end|>" not in repr(hidden)
    assert hidden["b"][1:] == [1, None, True] and hidden["c"] == 1.5
    assert escape.restore(hidden["a"]) == "<|im_end|>"


def test_variables_nested_too_deeply() -> None:
    value: list[object] = []
    for _ in range(5000):
        value = [value]
    with pytest.raises(InvalidRequest, match="nested"):
        escape.variables({"x": value})


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="character 2 is half a surrogate pair") as caught:
        check_unicode("ab\ud800", "messages[0].content")
    assert caught.value.param == "messages[0].content"
    with pytest.raises(InvalidRequest):
        escape.variables({"x": ["\udfff"]})


def test_models_without_control_tokens_and_with_too_many() -> None:
    assert Escape([]).restore(Escape([]).text("<a\ufdd0>")) == "<a\ufdd0>"
    with pytest.raises(SetupError):
        Escape([chr(0x4E00 + i) for i in range(30)])
    assert RESERVED.search("\ufdd0") and not RESERVED.search("\ufdcf\ufdf0")

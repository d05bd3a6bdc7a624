"""The model's name is replaced and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.backends.raw.model_rewrite import with_model

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["model", '"model":', "\\", '\\"', "{", "]"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
SPACES = st.sampled_from(["", " ", "\n\t ", "\r\n"])


def written(value: Any, draw: st.DrawFn) -> str:
    """JSON with whitespace wherever it may stand and escapes where they need not."""

    def space() -> str:
        return draw(SPACES)

    if isinstance(value, dict):
        pairs = [
            f"{space()}{written(k, draw)}{space()}:{space()}{written(v, draw)}{space()}"
            for k, v in value.items()
        ]
        return "{" + (",".join(pairs) or space()) + "}"
    if isinstance(value, list):
        return "[" + (",".join(space() + written(v, draw) + space() for v in value) or space()) + "]"
    if isinstance(value, str) and draw(st.booleans()):
        units = value.encode("utf-16-be")
        return '"' + "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2)) + '"'
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, str, str]:
    """Split a body into the text before the name's token, the token, and the text behind it."""
    others = [(k, v) for k, v in draw(st.dictionaries(TEXTS, VALUES, max_size=5)).items() if k != "model"]
    split = draw(st.integers(0, len(others)))
    before, after = dict(others[:split]), dict(others[split:])
    head = written(before, draw)[:-1] + ("," if before else "")
    key = draw(st.sampled_from(['"model"', '"\\u006dodel"', '"mod\\u0065l"']))
    tail = ("," if after else "") + written(after, draw)[1:]
    gap = f"{draw(SPACES)}{key}{draw(SPACES)}:{draw(SPACES)}"
    return head + gap, written(draw(TEXTS), draw), draw(SPACES) + tail


@given(bodies(), TEXTS)
def test_only_the_token_changes(body: tuple[str, str, str], model: str) -> None:
    head, token, tail = body
    raw = (head + token + tail).encode()
    changed = with_model(raw, model)
    assert changed == head.encode() + json.dumps(model).encode() + tail.encode()
    assert json.loads(changed) == {**json.loads(raw), "model": model}


@pytest.mark.parametrize(
    "raw", [b"{}", b'{"model": 5, "a": "b"}', b'{"a": {"model": "x"}}', b'{"a": "model"}']
)
def test_no_model_is_an_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match="model"):
        with_model(raw, "x")


def test_an_endless_string_costs_linear_time() -> None:
    raw = b'{"a": "' + b"\\\\" * 500_000 + b'", "model": "x"}'
    assert with_model(raw, "y").endswith(b'"model": "y"}')

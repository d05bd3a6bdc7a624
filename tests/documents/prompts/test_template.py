from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.errors import InvalidRequest, SetupError

CONVERSATIONS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": 'Be <b>brief</b> & "kind".\n'}, {"role": "user", "content": "  Hi  "}],
    [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\ntwo"},
        {"role": "user", "content": "three"},
        {"role": "system", "content": "late"},
        {"role": "assistant", "content": ""},
        {"role": "tool", "content": "{}"},
        {"role": "user", "content": "世界 \U0001f600"},
    ],
]


def transformers_renders(source: str, messages: list[dict[str, str]], variables: dict[str, Any]) -> str:
    # Its annotation says str; it returns the texts of all conversations and the assistant's positions.
    result: Any = render_jinja_template(
        [messages], chat_template=source, add_generation_prompt=True, **variables
    )
    return str(result[0][0])


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("variables", [{}, {"enable_thinking": False}, {"enable_thinking": True, "x": [1]}])
def test_renders_as_transformers_does(
    folder: Path, messages: list[dict[str, str]], variables: dict[str, Any]
) -> None:
    template = ChatTemplate.load(folder)
    assert template.render(messages, variables) == transformers_renders(template.source, messages, variables)


FEATURES = """
{%- for m in messages %}{% if loop.index0 > 1 %}{% break %}{% endif %}
  {%- generation %}{{ m | tojson }}{% endgeneration %}
{%- endfor %}
{%- set ns = namespace(a=1, self=2) %}{% set ns.a = dict(x=3) %}
{{ ns.a | tojson(indent=1) }} {{ tools is none }} {{ documents is none }} {{ missing is defined }}
"""


def test_the_features_of_transformers_environment() -> None:
    messages = [{"role": "user", "content": "<é>"}] * 3
    expected = transformers_renders(FEATURES, messages, {})
    assert ChatTemplate(FEATURES).render(messages, {}) == expected
    assert "<é>" in expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no system role') }}",
        "{{ messages[0].content + none }}",
        "{{ messages[0].nothing.more }}",
        "{{ namespace(_x=1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ 1 // 0 }}",
    ],
)
def test_refusals_are_the_requests_fault(source: str) -> None:
    with pytest.raises(InvalidRequest):
        ChatTemplate(source).render([{"role": "user", "content": "x"}], {})


def test_the_templates_own_message_is_shown() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InvalidRequest, match="roles must alternate") as caught:
        template.render([], {})
    assert caught.value.param == "messages"


def test_variables_cannot_replace_the_conversation() -> None:
    template = ChatTemplate(
        "{{ messages | length }}{{ tools is none }}{{ add_generation_prompt }}{{ extra }}"
    )
    taken = {"messages": [1, 2], "tools": [1], "add_generation_prompt": False, "extra": "!"}
    assert template.render([], taken) == "0TrueTrue!"


def test_the_clock_is_noticed(qwen3: Path) -> None:
    clock = ChatTemplate("{{ strftime_now('%Y') }}")
    assert clock.uses_clock and int(clock.render([], {})) > 2000
    plain = ChatTemplate.load(qwen3)
    assert not plain.uses_clock
    assert len(plain.digest) == 64 and plain.digest != clock.digest


def test_where_templates_are_found(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="has no chat template"):
        ChatTemplate.load(tmp_path)
    named = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert ChatTemplate.load(tmp_path).source == "D"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "S"}))
    assert ChatTemplate.load(tmp_path).source == "S"
    (tmp_path / "chat_template.jinja").write_text("J")
    assert ChatTemplate.load(tmp_path).source == "J"
    (tmp_path / "chat_template.jinja").write_text("{% if %}")
    with pytest.raises(SetupError, match="does not compile"):
        ChatTemplate.load(tmp_path)
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(SetupError, match="cannot be read"):
        ChatTemplate.load(tmp_path)

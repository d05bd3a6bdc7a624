from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.documents.prompts.model_format import ModelFormat, model_format
from kvproxy.documents.prompts.roles import Roles
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.escape import Escape
from tests.documents import templates
from tests.documents.models import QWEN3_ADDED, SMOLLM2_TEMPLATE

ESCAPE = Escape(QWEN3_ADDED)


def found(source: str) -> ModelFormat:
    return model_format(ChatTemplate(source), {}, ESCAPE)


def test_qwen3(qwen3: Path) -> None:
    template = ChatTemplate.load(qwen3)
    assert model_format(template, {}, ESCAPE) == ModelFormat(
        native_tools=True,
        tool_format="hermes",
        arguments_as_text=True,
        one_call=False,
        reasoning_content=True,
        thinks=True,
        default_system=None,
        copied=frozenset({"system", "user", "tool"}),
        roles=Roles(),
    )


def test_smollm2() -> None:
    assert found(SMOLLM2_TEMPLATE) == ModelFormat(
        native_tools=False,
        tool_format="hermes",
        arguments_as_text=False,
        one_call=False,
        reasoning_content=False,
        thinks=False,
        default_system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
        copied=frozenset({"system", "user", "tool"}),
        roles=Roles(),
    )


@pytest.mark.parametrize(
    ("source", "native", "tool_format", "one_call"),
    [
        (templates.LLAMA3, True, "llama3_json", True),
        (templates.MISTRAL, True, "mistral", False),
        (templates.CODER, True, "qwen3_coder", False),
        (templates.UNKNOWN_CALLS, False, "hermes", False),
        (templates.CHATML, False, "hermes", False),
    ],
)
def test_ways_of_writing_calls(source: str, native: bool, tool_format: str, one_call: bool) -> None:
    format = found(source)
    assert (format.native_tools, format.tool_format, format.one_call) == (native, tool_format, one_call)
    assert not format.arguments_as_text


def test_roles_that_are_copied() -> None:
    assert found(templates.LLAMA3).copied == {"system", "user"}, "results become JSON there"
    assert found(templates.NO_SYSTEM).copied == {"user", "tool"}
    assert found("{% for m in messages %}{{ m.content | tojson }}{% endfor %}").copied == frozenset()


def test_thinking() -> None:
    assert not found(templates.CHATML).thinks
    stripping = templates.CHATML.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")
    assert found(stripping).thinks and not found(stripping).reasoning_content
    switched = templates.CHATML + "{% if enable_thinking is false %}<think></think>{% endif %}"
    assert found(switched).thinks
    other = templates.CHATML + "{% if enable_thinking is false %}Be quick.{% endif %}"
    assert not found(other).thinks, "a variable of that name alone means nothing"


def test_the_default_system_text_is_found() -> None:
    assert found(templates.CHATML).default_system is None
    assert found(templates.NO_SYSTEM).default_system is None
    assert found(templates.LLAMA3).default_system is None, "an empty system message stands there anyway"

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvproxy.core import Reasoning
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.prompts.think_state import reasoning_state
from kvproxy.documents.tokens.tokenizer import Tokenizer
from tests.documents import templates
from tests.documents.conversation import ALICE, build, chat


@pytest.mark.parametrize(
    ("rendered", "thinks", "expected"),
    [
        ("<|im_start|>assistant\n", True, "may"),
        ("<|im_start|>assistant\n", False, "none"),
        ("<|im_start|>assistant\n<think>\n", True, "open"),
        ("<|im_start|>assistant\n<think>", False, "open"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", True, "none"),
        ("<think>\nhm\n</think>\n\nSo.<|im_end|>\n<|im_start|>assistant\n", True, "may"),
        ("", True, "may"),
    ],
)
def test_states(rendered: str, thinks: bool, expected: Reasoning) -> None:
    assert reasoning_state(rendered, thinks=thinks) == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, "may"), ({"enable_thinking": True}, "may"), ({"enable_thinking": False}, "none")],
)
def test_qwen3(qwen3: Path, variables: dict[str, Any], expected: Reasoning) -> None:
    composer = build(qwen3, Tokenizer.load(qwen3))
    assert composer.compose(chat(("user", "Q"), **variables), ALICE).reasoning == expected


def test_no_client_can_open_a_think_block(qwen3: Path) -> None:
    template = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}")
    composer = Composer(Tokenizer.load(qwen3), template, Library())
    assert composer.compose(chat(("user", "<think>\n")), ALICE).reasoning == "none"
    always = Composer(Tokenizer.load(qwen3), ChatTemplate(templates.ALWAYS_THINKS), Library())
    assert always.compose(chat(("user", "Q")), ALICE).reasoning == "open"

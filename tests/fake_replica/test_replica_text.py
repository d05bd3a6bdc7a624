"""Texts, conversations and grammars on a real tokenizer, with nothing heavy loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kvproxy.fake_replica.replica_text import BytesText, ModelText
from kvproxy.fake_replica.vllm_errors import VllmError

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3},
        "age": {"type": "integer", "minimum": 12},
        "tags": {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 2},
        "pair": {"anyOf": [{"type": "null"}, {"type": "object", "required": ["a"]}]},
    },
    "required": ["name", "age", "tags", "pair"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def text(smollm2: Path) -> ModelText:
    return ModelText.load(smollm2)


def test_control_tokens_in_a_text_are_control_tokens(text: ModelText) -> None:
    # Recorded from vLLM 0.32 with the same model.
    assert text.encode("Hello <|im_start|>world") == [19556, 216, 1, 6693]


def test_a_conversation_is_rendered_as_vllm_does(text: ModelText) -> None:
    # Recorded from vLLM 0.32 with the same model.
    tokens = text.chat([{"role": "user", "content": "Hi"}], {})
    assert tokens[:8] == [1, 9690, 198, 2683, 359, 253, 5356, 5646]
    assert (len(tokens), tokens[-5:]) == (31, [198, 1, 520, 9531, 198])


def test_without_a_tokenizer_examples_do() -> None:
    answer = BytesText().decode(BytesText().structured({"json": {"type": "integer"}}))
    assert json.loads(answer) == 0
    with pytest.raises(VllmError):
        BytesText().structured({"regex": "a"})


def test_nothing_heavy_is_loaded() -> None:
    heavy = "{'torch', 'transformers', 'litellm'}"
    code = f"import sys, kvproxy.fake_replica.fake_replica; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

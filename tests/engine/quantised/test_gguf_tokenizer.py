from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from kvproxy.engine.models.smollm2 import find_gguf
from kvproxy.engine.quantised.gguf_file import GgufFile
from kvproxy.engine.quantised.gguf_tokenizer import end_ids, merges_of_scores, tokenizer_files
from kvproxy.errors import SetupError
from tests.engine.quantised.make_gguf import make_gguf

TEXT = "Prices of 1,234 items — naïve façade?\n\n  def f(x):\n\treturn x's\n 世界 🙂<|im_end|>"


def rebuilt(metadata: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(tokenizer_files(metadata, "x.gguf")["tokenizer.json"]))


def test_the_bundled_model_has_its_own_tokenizer(smollm2: Path) -> None:
    path = find_gguf()
    assert path is not None
    own, converted = rebuilt(GgufFile(path).metadata), Tokenizer.from_file(str(smollm2 / "tokenizer.json"))
    assert own.encode(TEXT).ids == converted.encode(TEXT).ids
    assert own.decode(own.encode(TEXT).ids, skip_special_tokens=False) == TEXT


@pytest.mark.parametrize("pre", ["qwen2", "llama-bpe", "tekken", "gpt-2"])
def test_every_way_of_splitting_gives_the_text_back(tmp_path: Path, pre: str) -> None:
    make_gguf(tmp_path / "tiny.gguf")
    metadata = GgufFile(tmp_path / "tiny.gguf").metadata | {"tokenizer.ggml.pre": pre}
    tokenizer = rebuilt(metadata)
    ids = tokenizer.encode("a \n1234 it's 世<|im_end|>").ids
    assert ids[-1] == 258 and tokenizer.decode(ids, skip_special_tokens=False) == "a \n1234 it's 世<|im_end|>"
    assert end_ids(metadata) == [258]


def sentence_piece(**more: Any) -> dict[str, Any]:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "a", "b", "ab", "▁ab"]
    return {
        "general.architecture": "llama",
        "llama.context_length": 512,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.scores": [0.0] * 259 + [-5.0, -6.0, -7.0, -2.0, -1.0],
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, 1, 1, 1, 1, 1],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    } | more


def test_sentence_piece() -> None:
    tokenizer = rebuilt(sentence_piece())
    assert tokenizer.encode("ab ab").tokens == ["<s>", "▁ab", "▁ab"]
    assert tokenizer.encode("é").tokens == ["<s>", "▁", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(tokenizer.encode("ab é b").ids) == "ab é b"
    bare = rebuilt(sentence_piece(**{"tokenizer.ggml.add_bos_token": False}))
    assert bare.encode("ab").tokens == ["▁ab"]


def test_better_scores_merge_first() -> None:
    vocabulary = {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4}
    assert merges_of_scores(vocabulary, [0, 0, 0, -2.0, -1.0]) == [["b", "c"], ["a", "b"]]


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        ({"tokenizer.ggml.model": "bert"}, "tokenizer 'bert'"),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "poro"}, "texts like 'poro'"),
    ],
)
def test_unknown_tokenizers_are_refused(metadata: dict[str, Any], what: str) -> None:
    with pytest.raises(SetupError, match=what):
        tokenizer_files(sentence_piece(**metadata), "x.gguf")

"""Small model folders with real shapes: the pre-tokenizers, added tokens and templates of known families.

The merges are trained on the spot on a few thousand characters, so no download is needed. The subjects of the tests,
the cuts of a text and its control tokens, are decided by everything else, and that is real. ``KVPROXY_TEST_MODELS``
may name more model folders, separated by ``:``, to run the same tests on.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

HERE = Path(__file__).parent
TEXTS = HERE.parent.parent / "examples" / "documents"

QWEN3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN3_ADDED = (
    "<|endoftext|> <|im_start|> <|im_end|> <tool_call> </tool_call> <tool_response> </tool_response> "
    "<think> </think>"
).split()
SMOLLM2_ADDED = "<|endoftext|> <|im_start|> <|im_end|> <repo_name> <file_sep> <empty_output>".split()
SMOLLM2_TEMPLATE = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ \
'<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""
SAMPLE = (
    "It's they're we've I'll I'm she'd. def f(x):\n    return x + 1\n\nfor i in range(10): print(i)\n"
    "Das Grüßen, café déjà vu, naïve. 世界。これは文章です。한국어 문장. العربية हिन्दी 😀👨‍👩‍👧"
)

KINDS = ("qwen3", "smollm2-like", "llama3-like")


def write_model(folder: Path, kind: str) -> Path:
    """A folder with tokenizer.json, tokenizer_config.json, generation_config.json and a chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    added = SMOLLM2_ADDED if kind == "smollm2-like" else QWEN3_ADDED
    spec = _spec(kind)
    size = len(spec["model"]["vocab"])
    spec["added_tokens"] = [
        {
            "id": size + i,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            # As in Qwen3, where <think> and <tool_call> are added but not special.
            "special": text.startswith("<|"),
        }
        for i, text in enumerate(added)
    ]
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    settings: dict[str, Any] = {"eos_token": "<|im_end|>"}
    if kind == "smollm2-like":
        (folder / "chat_template.jinja").write_text(SMOLLM2_TEMPLATE, encoding="utf-8")
    else:
        settings["chat_template"] = (HERE / "qwen3.jinja").read_text(encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    eos = {"eos_token_id": [size, size + 2]}
    (folder / "generation_config.json").write_text(json.dumps(eos), encoding="utf-8")
    return folder


def more_models() -> list[Path]:
    return [Path(p) for p in os.environ.get("KVPROXY_TEST_MODELS", "").split(":") if p]


def _spec(kind: str) -> dict[str, Any]:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    if kind == "smollm2-like":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    else:
        pattern = QWEN3_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|") if kind == "llama3-like" else QWEN3_SPLIT
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        if kind == "qwen3":
            tokenizer.normalizer = tokenizers.normalizers.NFC()
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = (TEXTS / "apache-2.0.txt").read_text(encoding="utf-8")[:6000]
    tokenizer.train_from_iterator([text, *[SAMPLE] * 3], trainer)
    spec: dict[str, Any] = json.loads(tokenizer.to_str())
    return spec

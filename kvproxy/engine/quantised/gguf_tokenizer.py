"""`tokenizer_files`: tokenizer.json and its companions out of a GGUF file's metadata.

Byte-level BPE with the known ways of splitting a text, and SentencePiece's BPE (Llama 2, Mistral 7B).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvproxy.engine.quantised.gguf_config import special_ids
from kvproxy.errors import SetupError

_NORMAL, _UNKNOWN, _CONTROL, _USER = 1, 2, 3, 4  # gguf.TokenType

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS: dict[str, str | None] = {
    "llama-bpe": rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}",
    "smaug-bpe": rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}",
    "qwen2": rf"{_WORDS}|\p{{N}}|{_REST}",
    "tekken": _TEKKEN,
    "smollm": "digits",
    "gpt-2": None,
}
"""By ``tokenizer.ggml.pre``: the pattern of pieces that merges stay within; None: GPT-2's, which ByteLevel has."""

_ENDS = frozenset(
    ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "</s>", "<|end|>")
)
"""Tokens that end an answer wherever a vocabulary has them as control tokens."""


def tokenizer_files(metadata: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the files' contents by name. Raises SetupError for a tokenizer that cannot be rebuilt.

    ``name``: the file's, for messages.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind == "gpt2":
        tokenizer = _byte_level(metadata, name)
    elif kind == "llama":
        tokenizer = _sentence_piece(metadata)
    else:
        raise SetupError(f"cannot rebuild the tokenizer {kind!r} of {name}: {_ADVICE}")
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    ids = special_ids(metadata)
    names = {key.removesuffix("_id"): tokens[value] for key, value in ids.items()}
    return {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **names,
            "clean_up_tokenization_spaces": False,
            "model_max_length": int(metadata[f"{metadata['general.architecture']}.context_length"]),
        },
        "generation_config.json": ids | {"eos_token_id": end_ids(metadata)},
    }


_ADVICE = "put the model's own tokenizer.json and tokenizer_config.json beside the file"


def end_ids(metadata: dict[str, Any]) -> list[int]:
    """Return the ids of the tokens that end an answer."""
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    named = (metadata.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot", "eom"))
    found = {int(i) for i in named if i is not None}
    found |= {
        i
        for i, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind == _CONTROL and token in _ENDS
    }
    return sorted(found)


def _byte_level(metadata: dict[str, Any], name: str) -> dict[str, Any]:
    pre = str(metadata.get("tokenizer.ggml.pre", "default"))
    if pre not in SPLITS:
        raise SetupError(
            f"cannot rebuild the tokenizer of {name}, which splits texts like {pre!r}: {_ADVICE}"
        )
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    split = SPLITS[pre]
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": split is None or split == "digits",
    }
    steps: list[dict[str, Any]] = [byte_level]
    if split == "digits":
        steps.insert(0, {"type": "Digits", "individual_digits": True})
    elif split is not None:
        steps.insert(
            0, {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False}
        )
    model = _bpe(
        {token: i for i, token in enumerate(tokens)},
        [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]],
        # A whole word of the vocabulary is taken as it is, however its merges would go.
        ignore_merges=pre in ("llama-bpe", "smaug-bpe", "tekken"),
    )
    return _file(
        metadata,
        normalizer={"type": "NFC"} if pre == "qwen2" else None,
        pre_tokenizer={"type": "Sequence", "pretokenizers": steps},
        decoder=byte_level | {"add_prefix_space": True},
        model=model,
    )


def _sentence_piece(metadata: dict[str, Any]) -> dict[str, Any]:
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    prefix = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    steps = [{"type": "Prepend", "prepend": "▁"}, space] if prefix else [space]
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    unknown = metadata.get("tokenizer.ggml.unknown_token_id")
    model = _bpe(vocabulary, merges_of_scores(vocabulary, metadata["tokenizer.ggml.scores"]))
    model |= {"byte_fallback": True, "fuse_unk": True}
    model |= {"unk_token": None if unknown is None else tokens[unknown]}
    return _file(
        metadata,
        normalizer={"type": "Sequence", "normalizers": steps},
        pre_tokenizer=None,
        decoder={"type": "Sequence", "decoders": decoders},
        model=model,
    )


def merges_of_scores(vocabulary: dict[str, int], scores: Sequence[float]) -> list[list[str]]:
    """Return the merges that SentencePiece's scores stand for: the best first, of equal ones the shorter left part's."""
    found = []
    for token, i in vocabulary.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocabulary and right in vocabulary:
                found.append((-scores[i], vocabulary[left], vocabulary[right], left, right))
    found.sort()
    return [[left, right] for *_, left, right in found]


def _bpe(vocabulary: dict[str, int], merges: list[list[str]], ignore_merges: bool = False) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": ignore_merges,
        "vocab": vocabulary,
        "merges": merges,
    }


def _file(metadata: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """Return tokenizer.json: control tokens are special, user-defined ones are kept whole."""
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [
        {"id": i, "content": token, "special": kind != _USER} | flags
        for i, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (_CONTROL, _USER) or (kind == _UNKNOWN and parts["model"]["unk_token"] == token)
    ]
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    begins = bool(metadata.get("tokenizer.ggml.add_bos_token", metadata["tokenizer.ggml.model"] == "llama"))
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "post_processor": _begin_with(tokens[bos], int(bos)) if begins and bos is not None else None,
    } | parts


def _begin_with(token: str, number: int) -> dict[str, Any]:
    first = {"SpecialToken": {"id": token, "type_id": 0}}
    one, two = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [first, one],
        "pair": [first, one, first, two],
        "special_tokens": {token: {"id": token, "ids": [number], "tokens": [token]}},
    }

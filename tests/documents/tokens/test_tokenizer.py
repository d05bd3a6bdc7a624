from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from kvproxy.documents.tokens.supported_tokenizers import why_unsupported
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import SetupError


def test_text_never_becomes_a_control_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.control
    for text in tokenizer.control:
        for context in (text, f" {text}", f"x{text}y", f"{text}{text}", f"<{text}>"):
            ids = tokenizer.encode_text(context)
            assert not set(ids) & set(tokenizer.control.values())
            assert tokenizer.decode(ids) == context


def test_pieces_equal_those_of_the_whole_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    full = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = "a".join(f" {c}\n" for c in tokenizer.control) + "<|im_start|>user\nit's 12 <| end"
    ids = [
        token
        for piece in tokenizer.pieces(text)
        for token in ([piece] if isinstance(piece, int) else tokenizer.encode_text(piece))
    ]
    assert ids == full.encode(text, add_special_tokens=False).ids


def test_eos_comes_from_every_file_that_names_it(qwen3: Path) -> None:
    tokenizer = Tokenizer.load(qwen3)
    assert tokenizer.eos_ids == {tokenizer.control["<|endoftext|>"], tokenizer.control["<|im_end|>"]}
    assert tokenizer.special_tokens == {"eos_token": "<|im_end|>"}
    assert len(tokenizer.digest) == 64


def test_decode_leaves_out_special_tokens_only(qwen3: Path) -> None:
    tokenizer = Tokenizer.load(qwen3)
    ids = [tokenizer.control["<think>"], *tokenizer.encode_text("hm"), tokenizer.control["<|im_end|>"]]
    assert tokenizer.decode(ids) == "<think>hm"
    assert tokenizer.decode(ids, skip_special=False) == "<think>hm<|im_end|>"


def edited(folder: Path, **changes: Any) -> bytes:
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    spec.update(changes)
    return json.dumps(spec).encode()


def test_a_control_token_that_merges_produce_is_refused(qwen3: Path) -> None:
    spec = json.loads((qwen3 / "tokenizer.json").read_text(encoding="utf-8"))
    word, number = max(
        spec["model"]["vocab"].items(), key=lambda item: len(item[0]) if item[0].isascii() else 0
    )
    token = {**spec["added_tokens"][0], "id": number, "content": word}
    source = edited(qwen3, added_tokens=[*spec["added_tokens"], token])
    with pytest.raises(SetupError, match="turns plain text into its control token"):
        Tokenizer(source, {}, frozenset())


def test_a_control_token_in_the_vocabulary_is_not_found_as_a_whole_word(qwen3: Path) -> None:
    spec = json.loads((qwen3 / "tokenizer.json").read_text(encoding="utf-8"))
    model = {**spec["model"], "ignore_merges": True}
    token = {**spec["added_tokens"][0], "id": len(model["vocab"]), "content": "wholeword"}
    model["vocab"]["wholeword"] = token["id"]
    tokenizer = Tokenizer(edited(qwen3, model=model, added_tokens=[token]), {}, frozenset())
    assert token["id"] not in tokenizer.encode_text("wholeword")


def test_white_space_tokens_stay_text(qwen3: Path) -> None:
    spec = json.loads((qwen3 / "tokenizer.json").read_text(encoding="utf-8"))
    spaces = {**spec["added_tokens"][0], "id": 5000, "content": "        ", "special": False}
    tokenizer = Tokenizer(edited(qwen3, added_tokens=[*spec["added_tokens"], spaces]), {}, frozenset())
    assert tokenizer.encode_text("        ") == [5000]
    assert tokenizer.join_supported is False


def test_swallowed_white_space_goes_with_its_token(qwen3: Path) -> None:
    spec = json.loads((qwen3 / "tokenizer.json").read_text(encoding="utf-8"))
    mask = {**spec["added_tokens"][0], "id": 5001, "content": "<mask>", "lstrip": True, "rstrip": True}
    tokenizer = Tokenizer(edited(qwen3, added_tokens=[mask]), {}, frozenset())
    assert list(tokenizer.pieces("a \n<mask>  b")) == ["a", 5001, "b"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"normalizer": {"type": "NFKC"}}, "normalizer is NFKC"),
        (
            {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}},
            "normalizer",
        ),
        ({"pre_tokenizer": None}, "no ByteLevel"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "no ByteLevel"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "adds a space"),
        ({"model": {"type": "Unigram"}}, "Unigram"),
        ({"model": {"type": "BPE", "dropout": 0.1}}, "dropout"),
        ({"added_tokens": [{"content": "    "}]}, "white space"),
        (
            {
                "pre_tokenizer": {
                    "type": "Sequence",
                    "pretokenizers": [
                        {"type": "Split", "pattern": {"Regex": "(?<=x)y"}, "behavior": "Isolated"},
                        {"type": "ByteLevel", "add_prefix_space": False},
                    ],
                }
            },
            "split pattern",
        ),
    ],
)
def test_unknown_kinds_are_named(qwen3: Path, changes: dict[str, Any], reason: str) -> None:
    spec = json.loads((qwen3 / "tokenizer.json").read_text(encoding="utf-8"))
    assert why_unsupported(spec) is None
    found = why_unsupported({**spec, **changes})
    assert found is not None and reason in found


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"model": {"type": "No"}}', b"\xff"])
def test_an_unreadable_tokenizer_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(SetupError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)

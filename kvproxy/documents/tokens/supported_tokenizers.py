"""The tokenizer types supported by ``token_join``. A closed list: an unsupported one would yield wrong tokens.

``token_join`` needs three properties, and every pattern below has them:

* the pattern is matched left to right, without look-behind, and covers every character;
* the end of a piece is decided by the characters up to three beyond it (contractions are the longest) or by a run of
spaces, letters, digits or punctuation that stops there;
* a piece is turned into tokens by itself.

Anything else (Metaspace, Unigram, word pieces, patterns that group digits from the right) is encoded whole: slower,
never wrong. Add a pattern here only with its property test.
"""

from __future__ import annotations

from typing import Any

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_QWEN3_5 = (
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LETTERS_THEN = r"|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PATTERNS = frozenset(
    {
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",  # GPT-2
        _CONTRACTIONS + _LETTERS_THEN % r"\p{N}",  # Qwen2, Qwen2.5, Qwen3
        _CONTRACTIONS + _LETTERS_THEN % r"\p{N}{1,3}",  # Llama 3
        _QWEN3_5,
    }
)


def why_unsupported(spec: dict[str, Any]) -> str | None:
    """Return None when ``spec`` (a parsed tokenizer.json) can be cut and joined exactly, else the reason."""
    model = spec.get("model") or {}
    if model.get("type") != "BPE":
        return f"its model is {model.get('type')}, not byte-level BPE"
    if model.get("dropout"):
        return "its BPE has dropout"
    if any(token["content"].isspace() for token in spec.get("added_tokens") or ()):
        return "it has added tokens for white space"
    normalizer = spec.get("normalizer")
    if not _normalizer_known(normalizer):
        return f"its normalizer is {(normalizer or {}).get('type')}, not NFC"
    steps = _flatten(spec.get("pre_tokenizer"), "pretokenizers")
    if not any(step.get("type") == "ByteLevel" for step in steps):
        return "it has no ByteLevel pre-tokenizer"
    return next((reason for step in steps if (reason := _step_unsupported(step))), None)


def _flatten(step: dict[str, Any] | None, inner: str) -> list[dict[str, Any]]:
    if step is None:
        return []
    if step.get("type") == "Sequence":
        return [leaf for part in step[inner] for leaf in _flatten(part, inner)]
    return [step]


def _normalizer_known(normalizer: dict[str, Any] | None) -> bool:
    return all(step.get("type") == "NFC" for step in _flatten(normalizer, "normalizers"))


def _step_unsupported(step: dict[str, Any]) -> str | None:
    match step.get("type"):
        case "ByteLevel":
            return "its ByteLevel adds a space in front" if step.get("add_prefix_space") else None
        case "Digits":
            return None
        case "Punctuation":
            return None if step.get("behavior") == "Isolated" else "its Punctuation joins its pieces"
        case "Split":
            pattern = (step.get("pattern") or {}).get("Regex")
            if pattern in _PATTERNS and step.get("behavior") == "Isolated" and not step.get("invert"):
                return None
            return f"its split pattern is not one of those shown to be exact: {pattern!r}"
        case other:
            return f"it has a {other} pre-tokenizer"

"""`Tokenizer`: the model's tokenizer, split into plain text that never becomes a control token, and the control
tokens."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import tokenizers

from kvproxy.documents.tokens.supported_tokenizers import why_unsupported
from kvproxy.errors import SetupError

_LONG = 4096
"""Characters from which text is encoded without the interpreter's lock; about 5 ms."""


@dataclass(frozen=True, slots=True)
class _Control:
    id: int
    text: str
    pattern: str
    """Regular expression, with the white space that the token swallows (``lstrip``, ``rstrip``)."""


class Tokenizer:
    """Encodes text regions and finds the control tokens of a rendered chat template.

    Text goes through tokenizer.json without its added tokens and post-processor. transformers'
    ``split_special_tokens`` was rejected: it still matches added tokens that are not special, such as
    ``<tool_call>``.
    """

    def __init__(self, source: bytes, settings: Mapping[str, Any], eos_ids: frozenset[int]) -> None:
        """Split the tokenizer. ``source``: tokenizer.json's bytes; ``settings``: tokenizer_config.json's. Raises
        SetupError.

        Example:
            ``Tokenizer(Path("tokenizer.json").read_bytes(), {"bos_token": "<s>"}, frozenset({2}))``
        """
        spec = json.loads(source)
        self.digest = hashlib.sha256(source).hexdigest()
        self.special_tokens = _special_tokens(settings)
        """Names that the chat template may use, e.g. ``bos_token``, and their text."""
        self.eos_ids = eos_ids
        self.join_unsupported = why_unsupported(spec)
        """None, or the reason that documents of this tokenizer are encoded together with the surrounding text."""
        self._full = tokenizers.Tokenizer.from_str(source.decode("utf-8"))
        self.size = max(self._full.get_vocab(with_added_tokens=True).values()) + 1
        """One more than the largest token id."""
        self.begin = _begin(self._full)
        """Tokens that the post-processor puts before every text, e.g. a bos token; mostly none."""
        controls = _take_controls(spec)
        self.control: Mapping[str, int] = {c.text: c.id for c in controls}
        """Text -> id of every added token, longest first."""
        spec["post_processor"] = None
        spec["truncation"] = spec["padding"] = None
        self._plain = tokenizers.Tokenizer.from_str(json.dumps(spec))
        self._longest = _longest_token(self._full) if self.join_supported else None
        self._pattern = _pattern(controls)
        self._ids = tuple(c.id for c in controls)
        for text, token in self.control.items():
            if token in self.encode_text(text):
                raise SetupError(f"this tokenizer turns plain text into its control token {text!r}")
        for token in spec["added_tokens"]:
            if self._plain.token_to_id(token["content"]) != token["id"]:
                raise SetupError(f"this tokenizer's added token {token['content']!r} cannot be kept")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read tokenizer.json and, where present, the JSON files beside it that name the end tokens."""
        try:
            source = (folder / "tokenizer.json").read_bytes()
        except OSError as e:
            raise SetupError(f"the model in {folder} has no readable tokenizer.json ({e.strerror})") from e
        settings = read_json(folder / "tokenizer_config.json")
        eos: set[int] = set()
        for name in ("generation_config.json", "config.json"):
            found = read_json(folder / name).get("eos_token_id")
            eos.update(found if isinstance(found, list) else [] if found is None else [found])
        try:
            tokenizer = cls(source, settings, frozenset(eos))
        except SetupError:
            raise
        except Exception as e:  # the tokenizers library raises bare Exception for a malformed file
            raise SetupError(f"{folder / 'tokenizer.json'} is not a tokenizer that can be read: {e}") from e
        named = tokenizer.control.get(tokenizer.special_tokens.get("eos_token", ""))
        if named is not None:
            tokenizer.eos_ids |= {named}
        return tokenizer

    @property
    def join_supported(self) -> bool:
        """True when known documents are never tokenised again."""
        return self.join_unsupported is None

    def encode_text(self, text: str) -> list[int]:
        """Return the token ids of ``text`` as one region: never a control token, and none added."""
        ids: list[int] = self.encoding(text).ids
        return ids

    def encoding(self, text: str) -> tokenizers.Encoding:
        """Encode as ``encode_text`` does, with the pieces and characters that the tokens come from."""
        if len(text) < _LONG:
            return self._plain.encode(text, add_special_tokens=False)
        # ``encode`` holds the interpreter's lock all the while, which stops every other thread, the engine's too.
        return self._plain.encode_batch([text], add_special_tokens=False)[0]

    def least_tokens(self, text: str) -> int:
        """Return a lower bound of the tokens of ``text`` from its length alone; 0 where there is none."""
        if self._longest is None:
            return 0
        # NFC makes one character of four at most.
        shrinks = 4 if self.normalizes and not text.isascii() else 1
        return len(text) // (self._longest * shrinks)

    def pieces(self, rendered: str) -> Iterator[int | str]:
        """Cut a rendered template at its control tokens: their ids and the regions between, in order."""
        position = 0
        for match in self._pattern.finditer(rendered) if self._pattern else ():
            if match.start() > position:
                yield rendered[position : match.start()]
            yield self._ids[match.lastindex - 1] if match.lastindex else self.control[match[0]]
            position = match.end()
        if position < len(rendered):
            yield rendered[position:]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Return the text of ``ids``; an incomplete character at the end comes out as U+FFFD."""
        text: str = self._full.decode(list(ids), skip_special_tokens=skip_special)
        return text

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """Return each token's text; part of a character comes out as U+FFFD, a control token as its own text."""
        return [str(self._full.decode([token], skip_special_tokens=False)) for token in ids]

    def normalize(self, text: str) -> str:
        """Normalise ``text`` as the tokenizer does before cutting it: to NFC, or not at all."""
        normalizer = self._plain.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    @property
    def normalizes(self) -> bool:
        """True when the tokenizer normalises text to NFC."""
        return self._plain.normalizer is not None

    def boundaries(self, normalized: str) -> set[int]:
        """Return the character positions in ``normalized`` where the pre-tokenizer starts a piece."""
        return {start for _, (start, _) in self._plain.pre_tokenizer.pre_tokenize_str(normalized)}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, an empty one when there is no such file. Raises SetupError when it cannot be read."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as e:
        raise SetupError(f"{path} cannot be read: {e}") from e
    return loaded if isinstance(loaded, dict) else {}


def _pattern(controls: Sequence[_Control]) -> re.Pattern[str] | None:
    """Compile a pattern that finds any of ``controls``, the first in order.

    Groups tell the match apart where the text alone does not; without groups, ``re`` skips to the characters that
    control tokens start with: 50 times faster.
    """
    if all(c.pattern == re.escape(c.text) for c in controls):
        return re.compile("|".join(c.pattern for c in controls)) if controls else None
    return re.compile("|".join(f"({c.pattern})" for c in controls))


def _begin(full: tokenizers.Tokenizer) -> tuple[int, ...]:
    bare = full.encode("a", add_special_tokens=False).ids
    framed = full.encode("a", add_special_tokens=True).ids
    start = next((i for i in range(len(framed)) if framed[i : i + len(bare)] == bare), 0)
    return tuple(framed[:start])


def _special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    names = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
    found: dict[str, str] = {}
    for name in names:
        value = settings.get(name)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            found[name] = value
    return found


def _take_controls(spec: dict[str, Any]) -> list[_Control]:
    """Remove the added tokens from ``spec`` (modified) and return them, longest first.

    White-space-only added tokens stay: they abbreviate text and control nothing. They enter the vocabulary, without
    which they would be numbered anew. A control token's text leaves it: models that look up whole words first would
    find it there.
    """
    controls: list[_Control] = []
    kept: list[dict[str, Any]] = []
    for token in spec.get("added_tokens") or []:
        text = token["content"]
        if text.isspace():
            kept.append(token)
            continue
        before = r"\s*" if token.get("lstrip") else ""
        after = r"\s*" if token.get("rstrip") else ""
        controls.append(_Control(token["id"], text, before + re.escape(text) + after))
    spec["added_tokens"] = kept
    model = spec["model"]
    if model.get("type") == "BPE":
        merged = {"".join(m) if isinstance(m, list) else m.replace(" ", "", 1) for m in model["merges"]}
        for control in controls:
            if control.text not in merged and _byte_level(control.text) not in merged:
                model["vocab"].pop(control.text, None)
        model["vocab"].update({token["content"]: token["id"] for token in kept})
    return sorted(controls, key=lambda c: -len(c.text))


def _longest_token(tokenizer: tokenizers.Tokenizer) -> int | None:
    """Return the most characters of text that one token stands for; None where some bytes have no token, so that
    there is no bound."""
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    if not all(character in vocab for character in _byte_alphabet().values()):
        return None
    return max(map(len, vocab))


@cache
def _byte_alphabet() -> dict[int, str]:
    """Return GPT-2's printable stand-in for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in printable}
    table.update({b: chr(256 + i) for i, b in enumerate(x for x in range(256) if x not in table)})
    return table


def _byte_level(text: str) -> str:
    table = _byte_alphabet()
    return "".join(table[b] for b in text.encode("utf-8"))

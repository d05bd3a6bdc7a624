"""The detokenizer: turns token ids into text piece by piece, without half characters and stop strings."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer as RustTokenizer

_BYTE_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""Name of a byte token, in vocabularies without byte-level tokens."""


class Vocabulary:
    """The text of each token id. Byte-level BPE tokens are bytes; control tokens have no text.

    Tokenizers of another kind decode a window of ids instead, as text-generation-inference does.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.json"
        self._tokenizer = RustTokenizer.from_file(str(path))
        spec = json.loads(path.read_text(encoding="utf-8"))
        self.byte_level = '"ByteLevel"' in json.dumps(spec.get("decoder"))
        added = spec.get("added_tokens", ())
        self._special: dict[int, bytes] = {t["id"]: t["content"].encode() for t in added if t.get("special")}
        self._added: dict[int, bytes] = {
            t["id"]: t["content"].encode() for t in added if not t.get("special")
        }

    def token_bytes(self, token_id: int) -> bytes:
        """Return the UTF-8 bytes of one token, which need not be whole characters; b'' for control tokens and unknown
        ids."""
        if token_id in self._special:
            return b""
        if token_id in self._added:
            return self._added[token_id]
        token = self._tokenizer.id_to_token(token_id)
        if token is None:
            return b""
        table = _byte_table()
        return bytes(table[c] for c in token if c in table)

    def literal_bytes(self, token_id: int) -> bytes:
        """Return a token's name for lists of single tokens: its bytes, or the name of a control token."""
        if token_id in self._special:
            return self._special[token_id]
        if self.byte_level or token_id in self._added:
            return self.token_bytes(token_id)
        token: str = self._tokenizer.id_to_token(token_id) or ""
        fallback = _BYTE_FALLBACK.fullmatch(token)
        return bytes((int(fallback[1], 16),)) if fallback else token.replace("\u2581", " ").encode()

    def literals(self, ids: Sequence[int]) -> list[bytes]:
        """Return the :meth:`literal_bytes` of each id."""
        return [self.literal_bytes(token_id) for token_id in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``, without control tokens."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


@lru_cache(maxsize=1)
def _byte_table() -> dict[str, int]:
    """Return GPT-2's byte-to-character table, inverted (Radford et al. 2019).

    Printable bytes stand for themselves, the others for the characters from U+0100 on, in order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(b): b for b in printable}
    others = [b for b in range(256) if b not in set(printable)]
    return table | {chr(0x100 + i): b for i, b in enumerate(others)}


class Detokenizer:
    """The text of one answer. ``push`` returns the text that may be shown now; ``done`` turns True at a stop string.

    Text that could still become a stop string is held back, and returned by ``flush`` when it did not. A
    stop string that is complete within the first ``min_tokens`` tokens is text like any other.
    """

    def __init__(self, vocabulary: Vocabulary, stop: Sequence[str] = (), *, min_tokens: int = 0) -> None:
        self.vocabulary = vocabulary
        self.stopped_by: str | None = None
        """The stop string that ended the answer."""
        self.decoded = 0
        """Characters so far, shown or held back."""
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._ids: list[int] = []
        self._window = self._read = 0
        self._stop = tuple(stop)
        self._held = ""
        self._free = min_tokens

    @property
    def done(self) -> bool:
        """Whether a stop string has ended the answer."""
        return self.stopped_by is not None

    def push(self, token_id: int) -> str:
        """Add a token and return the text that may be shown now."""
        if self.vocabulary.byte_level:
            text = self._utf8.decode(self.vocabulary.token_bytes(token_id))
        else:
            text = self._decode_window(token_id)
        self._free -= 1
        return self._release(text)

    def flush(self) -> str:
        """Return the rest of the text at the end of an answer; an incomplete character becomes U+FFFD."""
        if self.done:
            return ""
        if self.vocabulary.byte_level:
            rest = self._utf8.decode(b"", final=True)
        else:
            rest = self.vocabulary.decode(self._ids[self._window :])[self._shown_in_window() :]
        out = self._release(rest) + ("" if self.done else self._held)
        self._held = ""
        return out

    def _decode_window(self, token_id: int) -> str:
        """Decode from a few tokens back, so that joining rules see their context; '' while it ends in U+FFFD."""
        self._ids.append(token_id)
        before = self._shown_in_window()
        text = self.vocabulary.decode(self._ids[self._window :])
        if text.endswith("\ufffd") or len(text) <= before:
            return ""
        self._window, self._read = self._read, len(self._ids)
        return text[before:]

    def _shown_in_window(self) -> int:
        return len(self.vocabulary.decode(self._ids[self._window : self._read]))

    def _release(self, text: str) -> str:
        self.decoded += len(text)
        if not self._stop:
            return text
        self._held += text
        found = [(at, s) for s in self._stop if (at := self._held.find(s)) >= 0] if self._free < 0 else []
        if found:
            at, self.stopped_by = min(found, key=lambda f: f[0])
            out, self._held = self._held[:at], ""
            return out
        keep = max((_overlap(self._held, s) for s in self._stop), default=0)
        cut = len(self._held) - keep
        out, self._held = self._held[:cut], self._held[cut:]
        return out


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of ``text`` that begins ``stop``."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)

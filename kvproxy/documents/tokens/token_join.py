"""`TokenJoiner`: joins kept tokens to new text: ``encode(before + document + after)`` without encoding the document.

Byte-level BPE first cuts text into pieces by a pattern, left to right, then encodes each piece by itself. So the
tokens of a text are those of any two halves of it, if the cut between them is a piece boundary in the whole. Two
facts give such cuts (the patterns are those of ``supported_tokenizers.py``):

* END. A boundary ``c`` in the document's own pieces stays one for every text behind it, when every piece before it
was decided by characters of the document alone: ``HORIZON`` more characters follow ``c``, not all of them white space
(a run of spaces is decided by the character that ends it).
* START. With any text in front, some boundary near the document's start is soon common to both ways of cutting; from
there on the same pattern sees the same characters.

NFC composes across a cut unless the character behind it starts a new composition, so with a normaliser only such
characters are cut at, and the last of them in the document bounds the decided part.

Without such a proof the whole region is encoded: slower, never wrong. Cutting the last few tokens and encoding them
again was rejected: one piece can be any number of tokens.
"""

from __future__ import annotations

import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import tokenizers

from kvproxy.documents.library.document import JoinPoint, TokenizedDocument, etag_of
from kvproxy.documents.tokens.encoding_budget import EncodingBudget
from kvproxy.documents.tokens.encoding_memo import TextMemo
from kvproxy.documents.tokens.escape import Stop
from kvproxy.documents.tokens.joined_tokens import DocumentPlace, Joined
from kvproxy.documents.tokens.tokenizer import Tokenizer

HORIZON = 16
"""Characters behind a boundary that may decide it. The longest look-ahead of the known patterns is three;
NFC may make one character of four."""
_LEAD = 320
_LONGEST_PIECE = 4096

Encoding = tuple[Sequence[int], Sequence[int]]
"""A text's tokens, and for each of its stops the number of them that it decides."""


@dataclass(frozen=True, slots=True)
class _Lead:
    """The tokens to put before ``document.token_ids[resume:]``; the document starts at token ``start`` of them."""

    token_ids: tuple[int, ...]
    resume: int
    start: int


class TokenJoiner:
    """Joins documents to text.

    Its only state are two memos, each separated by scope: the texts before documents, and the latest encoded texts.
    Safe in any thread.
    """

    MEMO_ENTRIES = 512
    MEMO_CHARACTERS = 4096
    """A longer text before a document is not remembered."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._memo: OrderedDict[tuple[str, str, str], _Lead | None] = OrderedDict()
        self._texts = TextMemo()
        self._lock = threading.Lock()

    @property
    def remembered(self) -> int:
        """Entries in the memo."""
        return len(self._memo)

    def tokenize(self, text: str, token_ids: Sequence[int] | None = None) -> TokenizedDocument:
        """Tokenise a document and find its cuts. ``token_ids``: those of the stripped text, if known."""
        core = text.strip()
        tokens = tuple(self._tokenizer.encode_text(core) if token_ids is None else token_ids)
        cut = self._end_cut(core) if self._tokenizer.join_supported else 0
        cut_token = len(tokens) - len(self._tokenizer.encode_text(core[cut:])) if cut else 0
        lead = next((i for i in range(min(_LEAD, cut), cut) if self._separable(core, i)), cut)
        entries = self._entries(core, lead) if cut_token > 0 else ()
        if not entries:
            cut = cut_token = lead = 0
        return TokenizedDocument(core, etag_of(core), tokens, entries, lead, cut, cut_token)

    def encode(
        self,
        texts: Sequence[str],
        documents: Sequence[TokenizedDocument],
        stops: Sequence[Stop] = (),
        scope: str | None = None,
        budget: EncodingBudget | None = None,
    ) -> Joined:
        """Encode ``texts[0] + documents[0].core + texts[1] + …`` as one; one more text than documents.

        ``scope``: the owner of the text; texts that the same scope sends again are not encoded again. None: remember
        nothing. ``budget`` counts the encoded characters (modified). Raises the errors of ``budget``.

        Example:
            ``joined = joiner.encode(["Read: ", " Who signs?"], [tokenized], scope=caller.scope)``
        """
        budget = budget or EncodingBudget()
        tokens: list[int] = []
        places: list[DocumentPlace | None] = []
        unknown: list[tuple[int, int, str]] = []
        ends: list[tuple[int, int]] = []
        marked: dict[int, list[Stop]] = {}
        for stop in stops:
            marked.setdefault(stop.text, []).append(stop)
        before, pending = texts[0], [(stop.mark, stop.offset) for stop in marked.get(0, ())]
        for i, (document, after) in enumerate(zip(documents, texts[1:], strict=True), start=1):
            budget.check(len(tokens))
            lead = self._lead(before, document, scope, budget)
            if lead is None:
                unknown.append((len(places), len(tokens), before + document.core))
                places.append(None)
                before += document.core
            else:
                if pending:
                    decided = self._encoded(before, tuple(offset for _, offset in pending), budget)[1]
                    base = len(tokens)
                    ends += [(mark, base + p) for (mark, _), p in zip(pending, decided, strict=True)]
                start = len(tokens) + lead.start
                own = _extend(tokens, lead, document)
                places.append(DocumentPlace(start, len(tokens), own, lead.resume))
                before, pending = document.core[document.cut :], []
            pending += [(stop.mark, len(before) + stop.offset) for stop in marked.get(i, ())]
            before += after
        offsets = tuple(offset for _, offset in pending)
        last, decided = (
            self._encoded(before, offsets, budget)
            if scope is None
            else self._remembered(before, offsets, scope, budget)
        )
        ends += [(mark, len(tokens) + p) for (mark, _), p in zip(pending, decided, strict=True)]
        tokens += last
        for index, base, text in unknown:
            budget.encode(2 * len(text))
            places[index] = self._measured(tokens, base, text, documents[index])
        return Joined(tokens, [place for place in places if place is not None], ends)

    def _remembered(
        self, text: str, offsets: tuple[int, ...], scope: str, budget: EncodingBudget
    ) -> Encoding:
        found = self._texts.encoded(scope, text, offsets, lambda: self._encoded(text, offsets, budget))
        return found.token_ids, found.decided

    def _encoded(self, text: str, offsets: Sequence[int], budget: EncodingBudget) -> Encoding:
        """Encode one text, from the memo where it has it. ``offsets``: of the stops."""
        budget.encode(len(text))
        if not offsets:
            return self._tokenizer.encode_text(text), ()
        encoding = self._tokenizer.encoding(text)
        return encoding.ids, [self._decided_tokens(text, offset, encoding) for offset in offsets]

    def _decided_tokens(self, text: str, end: int, encoding: tokenizers.Encoding) -> int:
        """Return how many of ``encoding``'s tokens (those of ``text``) every text that starts with ``text[:end]``
        has.

        The same rule as the END cut, on the pieces of a longer text: a boundary that ``text[:end]`` decides is one in
        all of them or in none.
        """
        if not self._tokenizer.join_supported:
            return 0
        decided = end
        if self._tokenizer.normalizes:
            decided = next((i for i in range(end - 1, 0, -1) if self._separable(text, i)), 0)
        for cut in range(decided - HORIZON, max(0, decided - _LONGEST_PIECE), -1):
            if not self._separable(text, cut) or text[cut:decided].isspace():
                continue
            token: int | None = encoding.char_to_token(cut)
            if token is None or (encoding.token_to_chars(token) or (-1,))[0] != cut:
                continue
            if token == 0 or encoding.token_to_word(token - 1) != encoding.token_to_word(token):
                return token
        return 0

    def _measured(
        self, tokens: list[int], base: int, text: str, document: TokenizedDocument
    ) -> DocumentPlace:
        """Find the place of a document without cuts: as far as its own tokens agree with the region's."""
        alone = self._tokenizer.encode_text(text)
        end = next(
            (i for i, token in enumerate(alone) if base + i >= len(tokens) or tokens[base + i] != token),
            len(alone),
        )
        start = len(self._tokenizer.encode_text(text[: len(text) - len(document.core)]))
        return DocumentPlace(base + min(start, end), base + end)

    def _separable(self, text: str, index: int) -> bool:
        """Return whether NFC treats ``text[:index]`` and ``text[index:]`` apart, in any context."""
        if not self._tokenizer.normalizes or index >= len(text):
            return not self._tokenizer.normalizes
        char = text[index]
        return char.isascii() or _starts_composition(char)

    def _end_cut(self, core: str) -> int:
        """Return the last cut that no tail can move, or 0."""
        decided = len(core)
        if self._tokenizer.normalizes:
            decided = next((i for i in range(len(core) - 1, 0, -1) if self._separable(core, i)), 0)
        normalized = self._tokenizer.normalize(core)
        starts = self._tokenizer.boundaries(normalized)
        for cut in range(decided - HORIZON, max(0, decided - _LONGEST_PIECE), -1):
            if not self._separable(core, cut) or core[cut:decided].isspace():
                continue
            if len(normalized) - len(self._tokenizer.normalize(core[cut:])) in starts:
                return cut
        return 0

    def _entries(self, core: str, lead: int) -> tuple[JoinPoint, ...]:
        """Return the boundaries of the document that hold behind any text, if they are boundaries there too."""
        starts = self._tokenizer.boundaries(self._tokenizer.normalize(core[:lead]))
        total = len(self._tokenizer.encode_text(core[:lead]))
        entries: list[JoinPoint] = []
        for character in range(max(0, lead - HORIZON)):
            if not self._separable(core, character) or core[character:lead].isspace():
                continue
            if len(self._tokenizer.normalize(core[:character])) in starts:
                behind = len(self._tokenizer.encode_text(core[character:lead]))
                entries.append(JoinPoint(character, total - behind))
        return tuple(entries)

    def _lead(
        self, before: str, document: TokenizedDocument, scope: str | None, budget: EncodingBudget
    ) -> _Lead | None:
        if scope is None:
            budget.encode(len(before) + document.lead)
            return self._find_lead(before, document)
        key = (scope, before, document.key)
        with self._lock:
            if key in self._memo:
                self._memo.move_to_end(key)
                return self._memo[key]
        budget.encode(len(before) + document.lead)
        lead = self._find_lead(before, document)
        if len(before) <= self.MEMO_CHARACTERS:
            with self._lock:
                self._memo[key] = lead
                if len(self._memo) > self.MEMO_ENTRIES:
                    self._memo.popitem(last=False)
        return lead

    def _find_lead(self, before: str, document: TokenizedDocument) -> _Lead | None:
        if not document.entries:
            return None
        tokenizer = self._tokenizer
        whole = before + document.core[: document.lead]
        starts = tokenizer.boundaries(tokenizer.normalize(whole))
        for entry in document.entries:
            if len(tokenizer.normalize(before + document.core[: entry.character])) in starts:
                # Counted from the end: white space before a cut is split otherwise when nothing follows.
                behind = tokenizer.encode_text(document.core[entry.character : document.lead])
                tokens = tokenizer.encode_text(whole)
                kept = tuple(tokens[: len(tokens) - len(behind)])
                start = len(kept) if entry.character == 0 else len(tokenizer.encode_text(before))
                return _Lead(kept, entry.token, min(start, len(kept)))
        return None


def _extend(tokens: list[int], lead: _Lead, document: TokenizedDocument) -> int:
    """Add ``lead`` and the document's kept tokens behind it to ``tokens`` (modified); return where these begin.

    All of the document's tokens are added and the ends put right: a slice of them would be one more copy.
    """
    base = len(tokens)
    tokens += document.token_ids
    del tokens[base + document.cut_token :]
    tokens[base : base + lead.resume] = lead.token_ids
    return base + len(lead.token_ids)


def _starts_composition(char: str) -> bool:
    """Return whether NFC never joins ``char`` to the text before it. False where that is not known.

    Joined are combining marks, Hangul vowels and finals, Kirat Rai vowels, and characters that this Python's Unicode
    tables do not have yet or write differently in NFC.
    """
    code = ord(char)
    if 0x1100 <= code <= 0x11FF or 0xA960 <= code <= 0xA97F or 0xD7B0 <= code <= 0xD7FF:
        return False
    if 0x16D40 <= code <= 0x16D7F:
        return False
    if unicodedata.category(char)[0] in "MC" or unicodedata.combining(char):
        return False
    return unicodedata.is_normalized("NFC", char)

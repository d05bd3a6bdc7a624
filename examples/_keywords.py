"""Documents of a folder, and a retriever that finds them by their words (BM25): no embeddings, nothing to download."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cached_property
from pathlib import Path

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

PIECE = 2_500
"""Characters at most, about 500 tokens, unless a paragraph is longer."""
_SATURATION, _LENGTH = 1.2, 0.75


class KeywordRetriever(BaseRetriever):
    documents: list[Document]
    k: int = 3

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        asked = set(_words(query))
        best = sorted(range(len(self.documents)), key=lambda i: -self._score(asked, self._counts[i]))
        return [self.documents[i] for i in best[: self.k]]

    def _score(self, asked: set[str], counts: Counter[str]) -> float:
        length = 1 - _LENGTH + _LENGTH * counts.total() / self._mean_length
        found = ((word, counts[word]) for word in asked if counts[word])
        return sum(self._rarity(w) * n * (_SATURATION + 1) / (n + _SATURATION * length) for w, n in found)

    def _rarity(self, word: str) -> float:
        have = self._having[word]
        return math.log(1 + (len(self.documents) - have + 0.5) / (have + 0.5))

    @cached_property
    def _counts(self) -> list[Counter[str]]:
        return [Counter(_words(document.page_content)) for document in self.documents]

    @cached_property
    def _having(self) -> Counter[str]:
        return Counter(word for counts in self._counts for word in counts)

    @cached_property
    def _mean_length(self) -> float:
        return sum(counts.total() for counts in self._counts) / len(self._counts)


def cut(folder: Path, count: int) -> list[Document]:
    """``count`` of the pieces of the folder's files, from all over them, or all pieces where there are fewer."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".txt", ".md"))
    pieces = [
        Document(piece, id=f"examples/{path.stem}/{i:02}", metadata={"source": path.name})
        for path in files
        for i, piece in enumerate(_pieces(path.read_text(encoding="utf-8")), start=1)
    ]
    if not pieces:
        raise SystemExit(f"there are no .txt or .md files in {folder}")
    count = min(count, len(pieces))
    return [pieces[i * len(pieces) // count] for i in range(count)]


def _pieces(text: str) -> list[str]:
    """Cut a text between paragraphs."""
    pieces = [""]
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if pieces[-1] and len(pieces[-1]) + len(paragraph) > PIECE:
            pieces.append("")
        pieces[-1] = f"{pieces[-1]}\n\n{paragraph}" if pieces[-1] else paragraph
    return pieces


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())

"""`TokenNames`: the bytes of tokens, for logprobs; read from the tokenizer's file when they are first asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kvproxy.backends.fleet.completion_reader import TokenName
from kvproxy.engine.decode.detokenizer import Vocabulary


class TokenNames:
    """The names that the local engine gives tokens, too. Event loop only.

    Example: ``name = await names.loaded()``
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._vocabulary: Vocabulary | None = None
        self._loading = asyncio.Lock()

    async def loaded(self) -> TokenName:
        """Return the function that names a token, reading the vocabulary on a thread the first time."""
        async with self._loading:
            if self._vocabulary is None:
                self._vocabulary = await asyncio.to_thread(Vocabulary, self._folder)
        return self._vocabulary.literal_bytes

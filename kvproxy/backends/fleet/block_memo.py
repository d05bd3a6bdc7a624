"""`BlockMemo`: hashes of prompts' blocks, remembered for the beginnings that come again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from kvproxy.residency.block_hashes import BlockHashes, HashedBlocks

STRIDE_TOKENS = 2048
"""Positions that are remembered together. A prompt of 50,000 is looked up 25 times, a fifth of a millisecond in all."""
MOST_STRIDES = 1024
"""Two million positions: some 30 MB."""


class BlockMemo:
    """The hash chain of prompts under their salts. Event loop and threads: equal values are computed where two come
    first, and an entry that another thread has dropped is only missed.

    A stride is found by its token ids, compared in full, and by what stands before it; so published documents and the
    conversations behind them are hashed once, whoever asks.
    """

    def __init__(self, hashes: BlockHashes, most: int = MOST_STRIDES) -> None:
        """``most``: strides that are remembered."""
        self.hashes = hashes
        self.block_tokens = hashes.block_tokens
        self._stride = max(1, STRIDE_TOKENS // self.block_tokens) * self.block_tokens
        self._most = most
        self._made: OrderedDict[tuple[bytes, str | None, tuple[int, ...]], HashedBlocks] = OrderedDict()

    def chain(
        self,
        token_ids: Sequence[int],
        salt: str,
        go_on: Callable[[tuple[int, ...]], bool] = lambda _: True,
    ) -> tuple[int, ...]:
        """Return the hashes of the full blocks. ``go_on``: gets those of each stride, and ends the work with False:
        nobody need hash what stands behind blocks that are nowhere.

        Example: ``memo.chain(prompt.token_ids, salt, lambda hashes: bool(index.longest(hashes[:1])))``
        """
        end = len(token_ids) // self.block_tokens * self.block_tokens
        found = HashedBlocks((), self.hashes.root, salt)
        parts: list[int] = []
        for begin in range(0, end, self._stride):
            part = self._part(found, tuple(token_ids[begin : min(begin + self._stride, end)]))
            parts += part.hashes
            if not go_on(part.hashes):
                break
            found = part
        return tuple(parts)

    def _part(self, before: HashedBlocks, ids: tuple[int, ...]) -> HashedBlocks:
        """Return the blocks of one stride alone, with the digest of the last. Short ones are not remembered: they are
        the ends of prompts, which seldom come again, and cheap."""
        first = None if before.hashes else before.salt
        key = (before.digest, first, ids)
        made = self._made.get(key)
        if made is not None:
            try:
                self._made.move_to_end(key)
            except KeyError:
                pass  # another thread has dropped it meanwhile
            return made
        done = self.hashes.continue_from(HashedBlocks(before.hashes[-1:], before.digest, before.salt), ids)
        part = HashedBlocks(done.hashes[len(before.hashes[-1:]) :], done.digest, done.salt)
        if len(ids) == self._stride:
            self._made[key] = part
            while len(self._made) > self._most:
                self._made.popitem(last=False)
        return part

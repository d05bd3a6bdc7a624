"""`ScoredRows`: the hidden states of a sequence's scored positions, kept as tiles compute them."""

from __future__ import annotations

import torch

from kvproxy.core import PAGE_TOKENS


class ScoredRows:
    """Hidden states, after the last norm, of the positions from ``first`` to ``last``, which is excluded.

    Engine thread only while its sequence runs. All possible positions are not allocated at once: an answer without a
    limit ends long before its last one.
    """

    def __init__(self, first: int, last: int) -> None:
        """Start without rows.

        Example: ``ScoredRows(first=512, last=1024)``
        """
        self._first, self._last = first, last
        self._kept: torch.Tensor | None = None

    def put(self, start: int, hidden: torch.Tensor, *, prompt_end: int) -> None:
        """Keep the rows of scored positions. A row that is computed again replaces the earlier one.

        hidden: [rows, hidden size] of positions ``start`` on. ``prompt_end``: room is made up to there, and a page
        beyond, at the first row.

        Example: ``rows.put(512, hidden[:256], prompt_end=900)``
        """
        first = self._first
        if start + len(hidden) <= first:
            return
        planned = prompt_end - first + PAGE_TOKENS
        self._kept = kept = self._with_room(hidden, start + len(hidden) - first, planned)
        skip = max(0, first - start)
        rows = hidden[skip : skip + self._last - start - skip]
        kept[start + skip - first : start + skip - first + len(rows)] = rows

    def until(self, end: int) -> torch.Tensor:
        """Return the rows up to position ``end``: [end - first, hidden size]. Raises ValueError when there are none.

        Example: ``rows.until(seq.computed)``
        """
        if self._kept is None:
            raise ValueError(f"no position from {self._first} on was computed")
        return self._kept[: max(0, end - self._first)]

    def _with_room(self, like: torch.Tensor, rows: int, planned: int) -> torch.Tensor:
        """Return the rows kept so far with room for ``rows``, at least doubled when it has to grow."""
        kept, most = self._kept, self._last - self._first
        if kept is not None and len(kept) >= min(rows, most):
            return kept
        doubled = 0 if kept is None else 2 * len(kept)
        grown = like.new_empty(min(most, max(rows, planned, doubled)), like.shape[1])
        if kept is not None:
            grown[: len(kept)] = kept
        return grown

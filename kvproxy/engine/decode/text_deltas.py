"""From tokens to the deltas of an answer: which tokens stand behind which text."""

from __future__ import annotations

from collections import deque

from kvproxy.engine.decode.detokenizer import Detokenizer
from kvproxy.events import TextDelta, TokenLogprob


class Deltas:
    """One answer. A token belongs to the delta that shows its first character; while that is withheld (half a
    character, a possible stop string), so is the token. Tokens whose text a stop string cut off belong to none."""

    def __init__(self, detokenizer: Detokenizer) -> None:
        self._detokenizer = detokenizer
        self._shown = 0
        self._waiting: deque[tuple[int, TokenLogprob | None]] = deque()
        """(where its text begins, in characters; its logprob), in order."""

    def push(self, token_id: int, logprob: TokenLogprob | None = None) -> TextDelta | None:
        """What may be shown now; None when that is nothing."""
        self._waiting.append((self._detokenizer.decoded, logprob))
        return self._delta(self._detokenizer.push(token_id), last=False)

    def flush(self) -> TextDelta | None:
        """The rest, at the end of an answer."""
        return self._delta(self._detokenizer.flush(), last=not self._detokenizer.done)

    @property
    def stopped_by(self) -> str | None:
        """The stop string that ended the answer."""
        return self._detokenizer.stopped_by

    def _delta(self, text: str, *, last: bool) -> TextDelta | None:
        """``last``: takes along the tokens that have no text, at the end."""
        if not text:
            return None
        self._shown += len(text)
        tokens = []
        while self._waiting and (last or self._waiting[0][0] < self._shown):
            tokens.append(self._waiting.popleft()[1])
        return TextDelta(text, len(tokens), tuple(t for t in tokens if t is not None))

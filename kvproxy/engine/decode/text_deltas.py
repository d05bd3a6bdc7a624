"""Text deltas: assigns the tokens of an answer to the pieces of text that show them."""

from __future__ import annotations

from collections import deque

from kvproxy.engine.decode.detokenizer import Detokenizer
from kvproxy.events import TextDelta, TokenLogprob


class TextDeltas:
    """The deltas of one answer.

    A token belongs to the delta that shows its first character; while that is withheld (half a character, a possible
    stop string), so is the token. Tokens cut off by a stop string belong to none.
    """

    def __init__(self, detokenizer: Detokenizer) -> None:
        self._detokenizer = detokenizer
        self._shown = 0
        self._waiting: deque[tuple[int, TokenLogprob | None]] = deque()
        """(first character of its text, its logprob) of each token that is not shown yet, in order."""

    def push(self, token_id: int, logprob: TokenLogprob | None = None) -> TextDelta | None:
        """Add a token and return the delta that may be shown now, if any."""
        self._waiting.append((self._detokenizer.decoded, logprob))
        return self._delta(self._detokenizer.push(token_id), last=False)

    def flush(self) -> TextDelta | None:
        """Return the rest of the text at the end of an answer, if any."""
        return self._delta(self._detokenizer.flush(), last=not self._detokenizer.done)

    @property
    def stopped_by(self) -> str | None:
        """The stop string that ended the answer."""
        return self._detokenizer.stopped_by

    def _delta(self, text: str, *, last: bool) -> TextDelta | None:
        """Take the tokens that ``text`` shows. ``last``: also the tokens without text, at the end."""
        if not text:
            return None
        self._shown += len(text)
        tokens = []
        while self._waiting and (last or self._waiting[0][0] < self._shown):
            tokens.append(self._waiting.popleft()[1])
        return TextDelta(text, len(tokens), tuple(t for t in tokens if t is not None))

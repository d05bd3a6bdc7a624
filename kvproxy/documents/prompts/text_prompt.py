"""`TextPrompts`: prompts without a chat template, from unchanged text or the client's own token ids."""

from __future__ import annotations

from collections.abc import Sequence

from kvproxy.core import Caller
from kvproxy.documents.library.library import Known, Library
from kvproxy.documents.tokens.encoding_budget import EncodingBudget
from kvproxy.documents.tokens.escape import checked
from kvproxy.documents.tokens.token_join import Mark, Seam
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import InvalidRequest


class TextPrompts:
    """Tokenises text prompts. Text never acts as a control token; a client that wants control tokens sends token
    ids."""

    def __init__(self, tokenizer: Tokenizer, library: Library) -> None:
        self._tokenizer = tokenizer
        self._library = library

    def encode(self, text: str, *, begin: bool, param: str = "prompt") -> list[int]:
        """Return the tokens of ``text``. ``begin``: with the tokens that the tokenizer puts before every text. Raises
        InvalidRequest.

        Example:
            ``ids = prompts.encode("Once", begin=True, param="prompt")``
        """
        start = self._tokenizer.begin if begin else ()
        return [*start, *self._tokenizer.encode_text(checked(text, param))]

    def place(
        self, text: str, caller: Caller, seam: Seam, budget: EncodingBudget
    ) -> tuple[list[int], Known | None, Mark | None]:
        """Return the tokens, and the known document that the text starts with, with its place.

        ``budget`` counts the encoded characters (modified). Raises InvalidRequest, and the errors of ``budget``.

        Example:
            ``tokens, known, mark = prompts.place(text, caller, seam, EncodingBudget())``
        """
        body = checked(text, "prompt").lstrip()
        match = self._library.at_front(body, caller)
        begin = self._tokenizer.begin
        if match is None:
            return [*begin, *seam.encode([text], [], scope=caller.scope, budget=budget).token_ids], None, None
        texts = [text[: len(text) - len(body)], body[len(match.tokenized.core) :]]
        joined = seam.encode(texts, [match.tokenized], scope=caller.scope, budget=budget)
        (mark,) = joined.marks
        tokens = [*begin, *joined.token_ids]
        return tokens, match.known, Mark(len(begin) + mark.start, len(begin) + mark.end)

    def checked_ids(self, ids: Sequence[int], param: str) -> tuple[int, ...]:
        """Return the ids if this tokenizer has all of them. Raises InvalidRequest."""
        size = self._tokenizer.size
        for i, token in enumerate(ids):
            if not 0 <= token < size:
                raise InvalidRequest(
                    f"Invalid token id {token} at {i}: this model has the ids 0 to {size - 1}.", param=param
                )
        return tuple(ids)

"""`TextPrompts`: prompts without a chat template, from unchanged text or the client's own token ids."""

from __future__ import annotations

from collections.abc import Sequence

from kvproxy.core import Caller
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.placed_prompt import PlacedDocuments, placed_documents
from kvproxy.documents.tokens.encoding_budget import EncodingBudget
from kvproxy.documents.tokens.escape import check_unicode
from kvproxy.documents.tokens.token_join import TokenJoiner
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
        return [*start, *self._tokenizer.encode_text(check_unicode(text, param))]

    def place(
        self, text: str, caller: Caller, joiner: TokenJoiner, budget: EncodingBudget
    ) -> tuple[tuple[int, ...], PlacedDocuments]:
        """Return the tokens, and the place of the known document that the text starts with, if it does.

        ``budget`` counts the encoded characters (modified). Raises InvalidRequest, and the errors of ``budget``.

        Example:
            ``token_ids, found = prompts.place(text, caller, joiner, EncodingBudget())``
        """
        body = check_unicode(text, "prompt").lstrip()
        match = self._library.find_at_front(body, caller)
        scope = caller.scope if caller.retain else None
        begin = self._tokenizer.begin
        if match is None:
            return (
                *begin,
                *joiner.encode([text], [], scope=scope, budget=budget).token_ids,
            ), PlacedDocuments()
        texts = [text[: len(text) - len(body)], body[len(match.tokenized.core) :]]
        joined = joiner.encode(texts, [match.tokenized], scope=scope, budget=budget)
        (place,) = joined.places
        token_ids = (*begin, *joined.token_ids)
        places = [(0, place.moved(len(begin)))]
        return token_ids, placed_documents(token_ids, places, [match], self._library.rights.publisher)

    def checked_ids(self, ids: Sequence[int], param: str) -> tuple[int, ...]:
        """Return the ids if this tokenizer has all of them. Raises InvalidRequest."""
        size = self._tokenizer.size
        for i, token in enumerate(ids):
            if not 0 <= token < size:
                raise InvalidRequest(
                    f"Invalid token id {token} at {i}: this model has the ids 0 to {size - 1}.", param=param
                )
        return tuple(ids)

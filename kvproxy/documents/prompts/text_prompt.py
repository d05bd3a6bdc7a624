"""`TextPrompts`: prompts without a chat template, from unchanged text or the client's own token ids."""

from __future__ import annotations

from collections.abc import Sequence

from kvproxy.core import Caller
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.document_chain import document_chain
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
        """Return the tokens, and the places of the known documents that the text starts with.

        ``budget`` counts the encoded characters (modified). Raises InvalidRequest, and the errors of ``budget``.

        Example:
            ``token_ids, found = prompts.place(text, caller, joiner, EncodingBudget())``
        """
        chain = document_chain(text, self._library, caller)
        cuts = [0, *(cut for found in chain for cut in (found.start, found.end)), len(text)]
        texts = [
            check_unicode(text[begin:end], "prompt", begin)
            for begin, end in zip(cuts[::2], cuts[1::2], strict=True)
        ]
        matches = [found.match for found in chain]
        documents = [match.tokenized for match in matches]
        joined = joiner.encode(texts, documents, scope=caller.scope, budget=budget)
        begin = self._tokenizer.begin
        token_ids = (*begin, *joined.token_ids)
        places = [(slot, place.moved(len(begin))) for slot, place in enumerate(joined.places)]
        return token_ids, placed_documents(token_ids, places, matches, self._library.rights.publisher)

    def checked_ids(self, ids: Sequence[int], param: str) -> tuple[int, ...]:
        """Return the ids if this tokenizer has all of them. Raises InvalidRequest."""
        size = self._tokenizer.size
        for i, token in enumerate(ids):
            if not 0 <= token < size:
                raise InvalidRequest(
                    f"Invalid token id {token} at {i}: this model has the ids 0 to {size - 1}.", param=param
                )
        return tuple(ids)

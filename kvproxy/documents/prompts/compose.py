"""`Composer`: turns a request into the exact tokens of the model's prompt and the places of known documents in
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kvproxy.core import Caller, ChatRequest, DocumentPart, Prompt, Role, TextRequest, Tool
from kvproxy.core.common_prefix import common_prefix
from kvproxy.documents.library.document import FramedPrefix, Framing, TokenizedDocument
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.spelling import PUBLISHED
from kvproxy.documents.prompts.front_placement import placed_as_asked
from kvproxy.documents.prompts.history import History
from kvproxy.documents.prompts.message_contents import Contents
from kvproxy.documents.prompts.model_format import model_format
from kvproxy.documents.prompts.placed_prompt import (
    PlacedDocuments,
    PlacedPrompt,
    placed_documents,
)
from kvproxy.documents.prompts.plain_call import format_fields, plain_call
from kvproxy.documents.prompts.request_weight import request_weight
from kvproxy.documents.prompts.roles import arrange, shown_roles
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.prompts.text_prompt import TextPrompts
from kvproxy.documents.prompts.think_state import reasoning_state
from kvproxy.documents.prompts.tool_texts import RenderedTools, ToolTexts
from kvproxy.documents.prompts.usable_framings import framed_messages, usable_framings
from kvproxy.documents.tokens.encoding_budget import ON_LOOP, EncodingBudget, NeedsThread
from kvproxy.documents.tokens.escape import RESERVED, Escape, check_unicode
from kvproxy.documents.tokens.token_join import TokenJoiner
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import InvalidRequest, SetupError
from kvproxy.runtime.off_loop import SMALL, off_loop

# Texts that may follow a document; without cuts, the tokens that all of these leave unchanged are its own.
_TAILS = ("", "\n", "\n\nQ", " x", "x", ".", "'s", "1", "\u0301")

_PREDICTED_CHARACTERS = 32
"""Characters taken per token of a prediction: more than any text has on average, so the cut loses nothing."""


class Composer:
    """Renders and tokenises the requests of one model.

    Safe in any thread, except for ``compose_async`` and ``predicted``: these belong to the event loop, and hand long
    work to a thread.

    Example:
        ``prompt = Composer(tokenizer, template, library, [Framing("system")]).compose(request, caller)``
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        library: Library,
        framings: Sequence[Framing] = (),
    ) -> None:
        """Probe the template. Framings that it cannot express are left out and logged."""
        if RESERVED.search(template.source):
            raise SetupError(
                "the model's chat template contains characters that kvproxy reserves; use another template"
            )
        self._tokenizer = tokenizer
        self._template = template
        self.library = library
        self._escape = Escape(tokenizer.control)
        self._joiner = TokenJoiner(tokenizer)
        self.format = model_format(template, tokenizer.special_tokens, self._escape)
        self._history = History(self._escape, self.format)
        self._tools = ToolTexts(self._escape)
        self._texts = TextPrompts(tokenizer, library)
        self.framings = usable_framings(framings, self.format)

    @property
    def digest(self) -> str:
        """A digest of all inputs of a document's tokens beside its text and the version of this code."""
        framings = " ".join(framing.name for framing in self.framings)
        return f"{self._tokenizer.digest} {self._template.digest} {framings}"

    @property
    def joins_normalized(self) -> bool:
        """True when a text's NFC and NFD forms have the same tokens, and these are kept."""
        return self._tokenizer.normalizes and self._tokenizer.join_supported

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a document's text alone, without surrounding white space. Safe in any thread."""
        return self._tokenizer.encode_text(text.strip())

    def tokenize(self, text: str, token_ids: Sequence[int] | None = None) -> TokenizedDocument:
        """Tokenise a document for the library; ``token_ids`` from ``encode``, if at hand. Safe in any thread."""
        return TokenJoiner(self._tokenizer).tokenize(text, token_ids)

    def encode_prompt(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Return the tokens of a text completion's prompt.

        ``add_special_tokens``: with the bos token, where this tokenizer has one. Control tokens in ``text`` stay
        text. Raises InvalidRequest.
        """
        return self._texts.encode(text, begin=add_special_tokens)

    async def predicted(self, text: str, most: int) -> tuple[int, ...]:
        """Return the first tokens of an answer that a client predicts, ``most`` at most; a long one is encoded on
        another thread.

        Control tokens in it stay text, and so match no answer. Raises InvalidRequest.
        """
        text = check_unicode(text, "prediction.content")[: most * _PREDICTED_CHARACTERS]
        encode = self._tokenizer.encode_text
        ids = await off_loop(len(text), lambda: encode(text)) if len(text) > ON_LOOP else encode(text)
        return tuple(ids[:most])

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, control tokens included. Raises InvalidRequest for ids out of range."""
        return self._tokenizer.decode(self._texts.checked_ids(ids, "tokens"), skip_special=False)

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """Return each token's own text; part of a character is U+FFFD. Raises InvalidRequest for ids out of range."""
        return self._tokenizer.token_texts(self._texts.checked_ids(ids, "tokens"))

    def plain_call(self, request: ChatRequest | TextRequest, caller: Caller) -> dict[str, Any]:
        """Return the fields of the same request for another model.

        These are OpenAI messages with string content, documents replaced by their text, tools and response format as
        the client gave them. A text prompt becomes a user's message. Raises DocumentNotFound and InvalidRequest.
        """
        if isinstance(request, ChatRequest):
            return plain_call(
                placed_as_asked(request, self.library, caller, self.format).request, self.library, caller
            )
        text = request.prompt if isinstance(request.prompt, str) else self.decode(request.prompt)
        asked = {} if request.response_format is None else format_fields(request.response_format)
        return {"messages": [{"role": "user", "content": text}], **asked}

    def compose(
        self, request: ChatRequest | TextRequest, caller: Caller, budget: EncodingBudget | None = None
    ) -> Prompt:
        """Compose the prompt for the local model.

        A document is recognised by its reference anywhere, and by its text at the front of any part of a system, user
        or tool message, or of a text prompt; text and reference give the same tokens. ``budget`` counts the encoded
        characters (modified). Raises DocumentNotFound, InvalidRequest, and the errors of ``budget``.

        Example:
            ``prompt = composer.compose(request, caller, EncodingBudget(limit=32768))``
        """
        budget = budget or EncodingBudget()
        if isinstance(request, TextRequest):
            return self._compose_text(request, caller, budget)
        placement = placed_as_asked(request, self.library, caller, self.format)
        request = placement.request
        shown = shown_roles(request.messages, self.format.roles)
        self._expect(request, shown, caller, budget)
        contents = Contents(request.messages, shown, self.format.copied, self.library, self._escape, caller)
        tools = self._listed_tools(request.tools, _memory_scope(request, caller))
        messages = self._history.render(request.messages, contents.texts, tools)
        variables = self._escape.variables(request.template_kwargs)
        rendered = self._render(messages, variables, tools.values if tools is not None else ())
        documents = [match.tokenized for match in contents.slots]
        placed = self._place(rendered, documents, self._joiner, _memory_scope(request, caller), budget)
        token_ids = tuple(placed.token_ids)
        found = placed_documents(token_ids, placed.places, contents.slots, self.library.rights.publisher)
        spans = found.spans
        ends = {place.end: span.end for (_, place), span in zip(placed.places, spans, strict=True)}
        # A mark that decides only the template's own words marks no text of the client's.
        stops = [ends.get(p, p) for m, p, own in placed.stops if own or contents.marked[m] > 0]
        return Prompt(
            token_ids,
            tuple(span for span in spans if span.end > span.start),
            marks=tuple(sorted({stop for stop in stops if stop > 0})),
            reasoning=reasoning_state(rendered, thinks=self.format.thinks),
            tool_format=self.format.tool_format,
            confined=contents.confined,
            known=found.known,
            moved=placement.moved,
        )

    def _listed_tools(self, tools: Sequence[Tool], scope: str | None) -> RenderedTools | None:
        listed = [tool for tool in tools if not tool.found]
        return self._tools.of(listed, scope) if listed else None

    async def compose_async(
        self, request: ChatRequest | TextRequest, caller: Caller, limit: int | None = None
    ) -> Prompt:
        """Compose as ``compose`` does, on a thread where the request is large or has more than some thousand new
        characters.

        ``limit``: tokens that fit; raises ContextTooLong for a prompt that is far longer, before it is encoded where
        its length alone shows that.

        Example:
            ``prompt = await composer.compose_async(request, caller, limit=32768)``
        """
        weight = request_weight(request)
        if weight <= SMALL:
            try:
                return self.compose(request, caller, EncodingBudget(characters=ON_LOOP, limit=limit))
            except NeedsThread:
                pass
        return await off_loop(weight, lambda: self.compose(request, caller, EncodingBudget(limit=limit)))

    def framed_prefix(
        self, text: str, tokenized: TokenizedDocument, framing: Framing, spelling: str = PUBLISHED
    ) -> FramedPrefix:
        """Return the tokens from 0 to the document's cut under ``framing``, which are the same for any text behind
        them.

        ``spelling`` is the name of that of ``text``. Safe in any thread.

        Example:
            ``prefix = composer.framed_prefix(text, composer.tokenize(text), Framing("system"))``
        """
        joiner = TokenJoiner(self._tokenizer)
        kept: list[int] | None = None
        for tail in _TAILS:
            placed = self._framed(framing, text, tail, tokenized, joiner)
            end = placed.places[0][1].end if placed.places else 0
            prefix = placed.token_ids[:end]
            kept = prefix if kept is None else kept[: common_prefix(kept, prefix)]
        return FramedPrefix(framing.name, tuple(kept or ()), spelling)

    def _expect(
        self, request: ChatRequest, shown: Sequence[Role], caller: Caller, budget: EncodingBudget
    ) -> None:
        """Announce to ``budget`` (modified) the texts that every template shows, before any of them is processed:
        copied contents, documents, and the arguments of calls in any spacing."""
        least = self._tokenizer.least_tokens
        for i, (message, role) in enumerate(zip(request.messages, shown, strict=True)):
            for j, part in enumerate(message.content):
                if isinstance(part, DocumentPart):
                    known = self.library.resolve(
                        part.document, caller, param=f"messages[{i}].content[{j}].document"
                    )
                    budget.expect(least(known.tokenized.core))
                elif role in self.format.copied:
                    budget.expect(least(part.text.strip()))
            for call in message.tool_calls:
                budget.expect(least(call.arguments.strip()))

    def _compose_text(self, request: TextRequest, caller: Caller, budget: EncodingBudget) -> Prompt:
        found = PlacedDocuments()
        if isinstance(request.prompt, str):
            budget.expect(self._tokenizer.least_tokens(request.prompt))
            token_ids, found = self._texts.place(request.prompt, caller, self._joiner, budget)
        else:
            budget.check(len(request.prompt))
            token_ids = self._texts.checked_ids(request.prompt, "prompt")
        if not token_ids:
            raise InvalidRequest("Invalid 'prompt': it must hold at least one token.", param="prompt")
        return Prompt(
            token_ids,
            tuple(span for span in found.spans if span.end > span.start),
            known=found.known,
            tool_format=self.format.tool_format,
        )

    def _framed(
        self, framing: Framing, text: str, tail: str, tokenized: TokenizedDocument, joiner: TokenJoiner
    ) -> PlacedPrompt:
        leading = text[: len(text) - len(text.lstrip())]
        content = self._escape.text(leading) + self._escape.slot(0) + self._escape.text(tail)
        if framing.place == "text":
            placed = PlacedPrompt(list(self._tokenizer.begin))
            self._append(placed, content, [tokenized], joiner)
            return placed
        rendered = self._render(
            arrange(framed_messages(framing, content, self._escape), self.format.roles), {}
        )
        return self._place(rendered, [tokenized], joiner)

    def _render(
        self,
        messages: Sequence[Mapping[str, Any]],
        variables: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        names = {**self._tokenizer.special_tokens, **variables}
        return self._template.render(messages, names, self._escape.restore, tools=tools)

    def _place(
        self,
        rendered: str,
        documents: Sequence[TokenizedDocument],
        joiner: TokenJoiner,
        scope: str | None = None,
        budget: EncodingBudget | None = None,
    ) -> PlacedPrompt:
        budget = budget or EncodingBudget()
        placed = PlacedPrompt()
        for piece in self._tokenizer.pieces(rendered):
            if isinstance(piece, int):
                placed.token_ids.append(piece)
            else:
                self._append(placed, piece, documents, joiner, scope, budget)
            budget.check(len(placed.token_ids))
        return placed

    def _append(
        self,
        placed: PlacedPrompt,
        region: str,
        documents: Sequence[TokenizedDocument],
        joiner: TokenJoiner,
        scope: str | None = None,
        budget: EncodingBudget | None = None,
    ) -> None:
        """Add a region's tokens to ``placed`` (modified)."""
        cut = self._escape.segments(region)
        joined = joiner.encode(cut.texts, [documents[slot] for slot in cut.slots], cut.stops, scope, budget)
        placed.append(cut, joined)


def _memory_scope(request: ChatRequest | TextRequest, caller: Caller) -> str | None:
    """Return the scope whose memos hold the request's tokens; None for a request that leaves nothing behind."""
    return caller.scope if caller.retains(request.cache) else None

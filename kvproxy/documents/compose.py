"""From messages to the exact tokens the model sees, and where the known documents stand in them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.core import Caller, ChatRequest, DocumentPart, Message, Prompt, Span, TextRequest
from kvproxy.documents.document import FramedPrefix, Framing, TokenizedDocument
from kvproxy.documents.escape import RESERVED, Escape, checked
from kvproxy.documents.library import Known, Library
from kvproxy.documents.seam import Mark, Seam
from kvproxy.documents.template import ChatTemplate
from kvproxy.documents.tokenizer import Tokenizer
from kvproxy.errors import InvalidRequest, SetupError

logger = logging.getLogger(__name__)

JOINT = "\n"
"""Between the parts of one message, texts and documents alike."""

_FRONT_ROLES = ("system", "user")
# What may follow a document; without cuts, what all of these leave untouched is taken as its own.
_TAILS = ("", "\n", "\n\nQ", " x", "x", ".", "'s", "1", "\u0301")
_PROBE = 'Ab "q" \\ \' <x> {{ y }}\n\tz é\n\nend'


@dataclass(frozen=True, slots=True)
class _Placed:
    """Tokens of a rendered conversation and the slot and position of every document in it."""

    token_ids: list[int]
    marks: list[tuple[int, Mark]]


class Composer:
    """Renders and tokenises. One per model; ``compose`` and ``plain_call`` belong to the event loop."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        library: Library,
        framings: Sequence[Framing] = (),
    ) -> None:
        """Framings that the template cannot express are left out and logged."""
        if RESERVED.search(template.source):
            raise SetupError("the model's chat template contains characters that are reserved here")
        self._tokenizer = tokenizer
        self._template = template
        self.library = library
        self._escape = Escape(tokenizer.control)
        self._seam = Seam(tokenizer)
        self._roles = frozenset(role for role in _FRONT_ROLES if self._passes_unchanged(role))
        self.framings = tuple(framing for framing in framings if self._expressible(framing))

    def encode(self, text: str) -> list[int]:
        """Tokens of a document's text alone, without surrounding white space. Safe in any thread."""
        return self._tokenizer.encode_text(text.strip())

    def tokenize(self, text: str, token_ids: Sequence[int] | None = None) -> TokenizedDocument:
        """Tokenise a document for keeps; ``token_ids`` from ``encode``, if at hand. Safe in any thread."""
        return Seam(self._tokenizer).tokenize(text, token_ids)

    def plain_call(self, request: ChatRequest | TextRequest, caller: Caller) -> dict[str, Any]:
        """What another model is sent in this one's place: OpenAI messages with string content, documents
        replaced by their text. Raises DocumentNotFound."""
        assert isinstance(request, ChatRequest)
        messages = [
            {"role": message.role, "content": JOINT.join(self._texts(i, message, caller))}
            for i, message in enumerate(request.messages)
        ]
        return {"messages": messages}

    def compose(self, request: ChatRequest | TextRequest, caller: Caller) -> Prompt:
        """The prompt for the local model.

        A document is known by its reference anywhere, and by its text at the front of any part of a system or
        user message; text and reference give the same tokens. Raises DocumentNotFound and InvalidRequest.
        """
        assert isinstance(request, ChatRequest)
        slots: list[Known] = []
        messages = [
            {"role": message.role, "content": self._content(i, message, caller, slots)}
            for i, message in enumerate(request.messages)
        ]
        variables = self._escape.variables(request.template_kwargs)
        placed = self._place(messages, variables, [known.tokenized for known in slots], self._seam)
        token_ids = tuple(placed.token_ids)
        spans = (_span(slots[slot], mark, token_ids) for slot, mark in placed.marks)
        return Prompt(token_ids, tuple(span for span in spans if span.end > span.start))

    def framed(self, text: str, tokenized: TokenizedDocument, framing: Framing) -> FramedPrefix:
        """The tokens from 0 to the document's cut under ``framing``, whatever follows. Safe in any thread."""
        seam = Seam(self._tokenizer)
        kept: list[int] | None = None
        for tail in _TAILS:
            placed = self._place(self._framing_messages(framing, text, tail), {}, [tokenized], seam)
            end = placed.marks[0][1].end if placed.marks else 0
            prefix = placed.token_ids[:end]
            kept = prefix if kept is None else kept[: _agreeing(kept, prefix)]
        return FramedPrefix(framing.name, tuple(kept or ()))

    def _framing_messages(self, framing: Framing, text: str, tail: str) -> list[dict[str, str]]:
        leading = text[: len(text) - len(text.lstrip())]
        content = self._escape.text(leading) + self._escape.slot(0) + self._escape.text(tail)
        if framing.place == "system":
            return [{"role": "system", "content": content}, {"role": "user", "content": "Q"}]
        first = {"role": "user", "content": content}
        if framing.system is None:
            return [first]
        return [{"role": "system", "content": self._escape.text(framing.system)}, first]

    def _content(self, index: int, message: Message, caller: Caller, slots: list[Known]) -> str:
        """The content the template sees: escaped text, and a placeholder for each document."""
        if message.role not in self._roles:
            text = JOINT.join(self._texts(index, message, caller))
            return self._escape.assistant(text) if message.role == "assistant" else self._escape.text(text)
        pieces: list[str] = []
        for j, part in enumerate(message.content):
            where = f"messages[{index}].content[{j}]"
            if isinstance(part, DocumentPart):
                known = self._resolve(part, caller, where)
                pieces.append(self._piece(known.document.text, known, caller, slots))
            else:
                pieces.append(self._piece(checked(part.text, where), None, caller, slots))
        return JOINT.join(pieces)

    def _piece(self, text: str, known: Known | None, caller: Caller, slots: list[Known]) -> str:
        body = text.lstrip()
        known = known or self.library.at_front(body, caller)
        if known is None:
            return self._escape.text(text)
        slots.append(known)
        leading = text[: len(text) - len(body)]
        # White space around a document stays outside of its placeholder, where templates can trim it.
        tail = self._escape.text(body[len(known.tokenized.core) :])
        return self._escape.text(leading) + self._escape.slot(len(slots) - 1) + tail

    def _texts(self, index: int, message: Message, caller: Caller) -> list[str]:
        texts: list[str] = []
        for j, part in enumerate(message.content):
            where = f"messages[{index}].content[{j}]"
            if isinstance(part, DocumentPart):
                texts.append(self._resolve(part, caller, where).document.text)
            else:
                texts.append(checked(part.text, where))
        return texts

    def _resolve(self, part: DocumentPart, caller: Caller, where: str) -> Known:
        return self.library.resolve(part.document, caller, param=f"{where}.document")

    def _place(
        self,
        messages: list[dict[str, str]],
        variables: dict[str, Any],
        documents: Sequence[TokenizedDocument],
        seam: Seam,
    ) -> _Placed:
        names: dict[str, Any] = {**self._tokenizer.special_tokens, **variables}
        rendered = self._template.render(messages, names, self._escape.restore)
        placed = _Placed([], [])
        for piece in self._tokenizer.pieces(rendered):
            if isinstance(piece, int):
                placed.token_ids.append(piece)
                continue
            texts, slots = self._escape.segments(piece)
            tokens, marks = seam.encode(texts, [documents[slot] for slot in slots])
            base = len(placed.token_ids)
            placed.token_ids.extend(tokens)
            for slot, mark in zip(slots, marks, strict=True):
                placed.marks.append((slot, Mark(base + mark.start, base + mark.end)))
        return placed

    def _passes_unchanged(self, role: str) -> bool:
        """Whether the template copies this role's content as it is, so that a placeholder may stand in it."""

        def render(content: str) -> str:
            messages = [{"role": role, "content": content}]
            if role == "system":
                messages.append({"role": "user", "content": "Q"})
            return self._template.render(messages, self._tokenizer.special_tokens)

        try:
            slot, probe = self._escape.slot(0), self._escape.text(_PROBE)
            return render(slot).replace(slot, probe) == render(probe)
        except InvalidRequest:
            return False

    def _expressible(self, framing: Framing) -> bool:
        roles = {framing.place} if framing.system is None else {framing.place, "system"}
        if roles <= self._roles:
            return True
        logger.warning(
            "framing %s is not used: this model's chat template does not take %s messages as they are",
            framing.name,
            " and ".join(sorted(roles - self._roles)),
        )
        return False


def _span(known: Known, mark: Mark, token_ids: tuple[int, ...]) -> Span:
    """The span, in the document's own scope when its published prefix is what the prompt starts with."""
    for prefix in known.prefixes:
        length = len(prefix.token_ids)
        if length > mark.start and token_ids[:length] == prefix.token_ids:
            return Span(known.document.ref, mark.start, length, known.document.scope)
    return Span(known.document.ref, mark.start, mark.end)


def _agreeing(one: list[int], other: list[int]) -> int:
    """How many tokens both start with."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )

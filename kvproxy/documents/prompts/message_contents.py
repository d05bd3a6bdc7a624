"""`Contents`: the parts of messages as escaped text, with a placeholder for each known document and each mark."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kvproxy.core import Caller, DocumentPart, Message, Role
from kvproxy.documents.library.known_document import DocumentMatch
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.document_chain import document_chain
from kvproxy.documents.tokens.escape import Escape, check_unicode
from kvproxy.errors import InvalidRequest

JOINT = "\n"
"""The text between the parts of one message, texts and documents alike."""


def plain_text(index: int, message: Message, library: Library, caller: Caller) -> str:
    """Return a message's text, with documents in full, but for those whose text may not leave this process: of these
    their name, in brackets. Raises DocumentNotFound and InvalidRequest.

    Example:
        ``text = plain_text(0, request.messages[0], library, caller)``
    """
    texts: list[str] = []
    for j, part in enumerate(message.content):
        where = f"messages[{index}].content[{j}]"
        if isinstance(part, DocumentPart):
            match = library.named(part.document, caller, param=f"{where}.document")
            document = match.known.document
            texts.append(f"[{document.ref}]" if match.confined else document.text)
        else:
            texts.append(check_unicode(part.text, where))
    return JOINT.join(texts)


class Contents:
    """The contents of one request's messages, with the documents and marks in them.

    Example:
        ``Contents(request.messages, shown, format.copied, library, escape, caller).texts``
    """

    def __init__(
        self,
        messages: Sequence[Message],
        shown: Sequence[Role],
        copied: Collection[str],
        library: Library,
        escape: Escape,
        caller: Caller,
    ) -> None:
        """Replace documents and marks by placeholders. ``shown``: the role that each message's content is shown
        under; ``copied``: the roles that may have a placeholder in their content. Raises DocumentNotFound and
        InvalidRequest."""
        self.slots: list[DocumentMatch] = []
        self.marked: list[int] = []
        """For each mark, the index of its message."""
        self.confined = False
        """Whether a document is among them whose text may not leave this process."""
        self._fit = [role in copied for role in shown]
        self._copied = copied
        self._library = library
        self._escape = escape
        self._caller = caller
        carriers = self._carriers(messages)
        self.texts = [self._text(i, message, carriers) for i, message in enumerate(messages)]

    def _carriers(self, messages: Sequence[Message]) -> set[tuple[int, int]]:
        """Return the (message, part) pairs that carry a mark. A mark on a part that cannot carry it moves to the
        one before: the prefix gets shorter, never wrong."""
        carriers: set[tuple[int, int]] = set()
        last: tuple[int, int] | None = None
        for i, message in enumerate(messages):
            for j, part in enumerate(message.content):
                if self._fit[i] and (isinstance(part, DocumentPart) or part.text.strip()):
                    last = (i, j)
                if part.mark and last is not None:
                    carriers.add(last)
        return carriers

    def _text(self, index: int, message: Message, carriers: Collection[tuple[int, int]]) -> str:
        if not self._fit[index]:
            self._refuse_confined(index, message)
            text = plain_text(index, message, self._library, self._caller)
            return self._escape.assistant(text) if message.role == "assistant" else self._escape.text(text)
        pieces: list[str] = []
        for j, part in enumerate(message.content):
            where = f"messages[{index}].content[{j}]"
            named: DocumentMatch | None = None
            if isinstance(part, DocumentPart):
                named = self._library.named(part.document, self._caller, param=f"{where}.document")
                text = named.known.document.text
                self.confined = self.confined or named.confined
            else:
                text = part.text
            marked = (index, j) in carriers
            if marked:
                self.marked.append(index)
            pieces.append(self._piece(text, where, named, marked=marked))
        return JOINT.join(pieces)

    def _refuse_confined(self, index: int, message: Message) -> None:
        """Refuse a granted document where it would be plain text, which is neither found again nor paid for. Raises
        InvalidRequest."""
        for j, part in enumerate(message.content):
            param = f"messages[{index}].content[{j}].document"
            if isinstance(part, DocumentPart):
                if self._library.named(part.document, self._caller, param=param).confined:
                    raise InvalidRequest(
                        f"'{part.document}' is read by a grant; this model shows it in messages of the roles "
                        f"{', '.join(sorted(self._copied))} only.",
                        param=param,
                    )

    def _piece(self, text: str, where: str, named: DocumentMatch | None, *, marked: bool) -> str:
        """Return the escaped text of a part. ``named``: the document that ``text`` is, where the client referenced
        it. Raises InvalidRequest, for what is no document's: those were checked when they were published."""
        pieces: list[str] = []
        done = 0
        # White space around a document stays outside of its placeholder, where templates can trim it.
        for found in document_chain(text, self._library, self._caller, named):
            self.slots.append(found.match)
            before = check_unicode(text[done : found.start], where, done)
            pieces += [self._escape.text(before), self._escape.slot(len(self.slots) - 1)]
            done = found.end
        rest = check_unicode(text[done:], where, done)
        return "".join([*pieces, self._stopped(rest, marked=marked)])

    def _stopped(self, text: str, *, marked: bool) -> str:
        """Put the mark before white space at the end, which the template may trim."""
        if not marked:
            return self._escape.text(text)
        body = text.rstrip()
        mark = self._escape.mark(len(self.marked) - 1)
        return self._escape.text(body) + mark + self._escape.text(text[len(body) :])

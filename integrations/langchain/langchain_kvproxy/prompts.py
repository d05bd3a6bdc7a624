"""Prompt layouts with documents at the head of the system message, in canonical order, the question last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, ChatMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.prompts.chat import BaseChatPromptTemplate
from langchain_core.prompts.string import PromptTemplateFormat
from langchain_core.utils import get_pydantic_field_names
from pydantic import model_validator
from typing_extensions import override

from langchain_kvproxy._arguments import refuse_unknown
from langchain_kvproxy._content_parts import MARK, bare, plain_parts
from langchain_kvproxy.documents import (
    KVPROXY_DOCUMENT,
    as_part,
    canonical,
    has_text,
    reference_of,
    says_nothing,
)

DocumentLike: TypeAlias = Document | str
"""A `Document`; a reference like `"handbook"` or `"handbook@3"`; or, being no such name, a text."""

By: TypeAlias = Literal["text", "reference"]

_Part: TypeAlias = dict[str, Any]


def document_parts(
    documents: Iterable[DocumentLike] | DocumentLike,
    *,
    by: By = "reference",
    shared: Mapping[str, int] | None = None,
    mark: bool = True,
) -> list[_Part]:
    """Turn documents into content parts, in canonical order and without duplicates.

    Args:
        documents: In any order; the result does not depend on it.
        by: `"reference"` sends `kv_document` parts for those that have a reference (`kvproxy_document` in
            their metadata) and the text of the others; `"text"` sends texts. A reference whose text is not
            at hand is always sent as one.
        shared: The number of prompts that share a text, by `text_digest`: the most shared stand first.
        mark: Whether the last part carries a `prompt_cache_breakpoint`, the end of a reusable prefix.

    Returns:
        `kv_document` and `text` parts. Documents that have neither a text nor a reference, as a blank page of a
        scan, are left out.

    Example:
        ```python
        from langchain_kvproxy import document_parts

        parts = document_parts(["travel", "handbook@3"], by="reference", mark=False)
        assert [part["document"] for part in parts] == ["handbook@3", "travel"]
        ```
    """
    parts = [_part(document, by) for document in canonical(as_documents(documents), shared)]
    if parts and mark:
        parts[-1] |= {name: dict(value) for name, value in MARK.items()}
    return parts


def place_documents(
    messages: Sequence[BaseMessage],
    documents: Iterable[DocumentLike] | DocumentLike,
    *,
    by: By = "reference",
    shared: Mapping[str, int] | None = None,
    mark: bool = True,
) -> list[BaseMessage]:
    """Put documents at the head of the system message, where nothing but a role marker precedes them.

    Nothing given is modified. Documents that stand in the system message already are moved, not repeated, so
    that placing the same documents again changes nothing.

    Args:
        messages: A conversation; if it does not begin with a system message, one is put before it.
        documents: `Document`s, texts, or references to published documents, in any order.
        by: Whether documents that have a reference are sent as one, see `document_parts`.
        shared: The number of prompts that share a text, by `text_digest`: the most shared stand first.
        mark: Whether the last document carries a `prompt_cache_breakpoint`.

    Returns:
        New messages; without documents, the given ones.

    Example:
        ```python
        from langchain_core.messages import HumanMessage, SystemMessage

        from langchain_kvproxy import place_documents

        messages = place_documents(
            [SystemMessage("Answer briefly."), HumanMessage("How many days of leave do I have?")],
            ["handbook@3"],
            by="reference",
        )
        assert messages[0].content[0]["document"] == "handbook@3"
        ```
    """
    placed = as_documents(documents)
    parts = document_parts(placed, by=by, shared=shared, mark=mark)
    if not parts:
        return list(messages)
    known = [form for document in placed if not says_nothing(document) for form in forms(document)]
    started = bool(messages) and is_system(messages[0])
    first, rest = (messages[0], messages[1:]) if started else (SystemMessage([]), messages)
    said = [part for part in plain_parts(first) if bare(part) not in known]
    return [first.model_copy(update={"content": [*parts, *said]}), *rest]


class DocumentLayout(BaseChatPromptTemplate):
    """A prompt template with documents at its head, made by `document_prompt`.

    A Runnable from `{"documents": [...], …}` to a `ChatPromptValue`, and a message template for
    `ChatPromptTemplate.from_messages`. The texts of documents are not templates: braces in them stay braces.
    """

    prompt: ChatPromptTemplate
    """Instructions, question and all other messages behind the documents."""
    by: By = "reference"
    documents_key: str = "documents"
    """The input variable that holds the documents."""
    mark: bool = True

    @model_validator(mode="before")
    @classmethod
    def _known_arguments_only(cls, values: Any) -> Any:
        if isinstance(values, dict):
            refuse_unknown(cls.__name__, values, get_pydantic_field_names(cls))
        return values

    @classmethod
    @override
    def get_lc_namespace(cls) -> list[str]:
        """Return the path of this module, for serialised prompts."""
        return ["langchain_kvproxy", "prompts"]

    @override
    def format_messages(self, **kwargs: Any) -> list[BaseMessage]:
        """Return the formatted messages with the documents at their head."""
        values = self._merge_partial_and_user_variables(**kwargs)
        documents = values.pop(self.documents_key)
        messages = self.prompt.format_messages(**values)
        return place_documents(messages, documents, by=self.by, mark=self.mark)

    @override
    def pretty_repr(self, html: bool = False) -> str:
        """Return the template as text: the variable of the documents, then the prompt."""
        return f"{{{self.documents_key}}}\n\n{self.prompt.pretty_repr(html=html)}"

    @property
    def _prompt_type(self) -> str:
        return "kvproxy-documents"


def document_prompt(
    instructions: str | ChatPromptTemplate = "",
    *,
    question: str | None = "{question}",
    documents: Iterable[DocumentLike] | DocumentLike | None = None,
    by: By = "reference",
    documents_key: str = "documents",
    mark: bool = True,
    template_format: PromptTemplateFormat = "f-string",
) -> DocumentLayout:
    """Make a prompt with documents first, then instructions, the question last.

    The most constant parts stand first, so that a proxy or provider finds the documents again for any question
    about them. Each document ends where the tokenizer cannot merge it with the next part, and the same
    documents in any order give the same prompt.

    Args:
        instructions: A template for the rest of the system message; or a whole `ChatPromptTemplate`, which
            then holds the question too: the documents are put at its head.
        question: A template for the user's message; None leaves it to the `ChatPromptTemplate` around this.
        documents: Documents that are always the same; without them they are the input `documents_key`.
        by: `"reference"` sends `kv_document` parts, which only kvproxy understands, for documents that have a
            reference, and the texts of the others; `"text"` sends texts and works everywhere.
        documents_key: The name of the input that holds the documents.
        mark: Whether the last document carries a `prompt_cache_breakpoint`.
        template_format: Of `instructions` and `question`: `"f-string"`, `"mustache"` or `"jinja2"`.

    Returns:
        A Runnable, also usable inside `ChatPromptTemplate.from_messages`.

    Instantiate:
        ```python
        from langchain_kvproxy import document_prompt

        prompt = document_prompt("Answer in one sentence.")
        ```

    Invoke:
        ```python
        from langchain_core.documents import Document

        from langchain_kvproxy import document_prompt

        prompt = document_prompt("Answer in one sentence.")
        handbook = Document("Every employee has 30 days of leave.", id="handbook")
        value = prompt.invoke({"documents": [handbook], "question": "How many days?"})
        system, user = value.to_messages()
        assert system.content[0]["text"].startswith(handbook.page_content)
        assert user.content == "How many days?"
        ```

    Inside a prompt with history:
        ```python
        from langchain_core.prompts import ChatPromptTemplate

        from langchain_kvproxy import document_prompt

        prompt = ChatPromptTemplate.from_messages(
            [
                document_prompt("Answer in {language}.", question=None, documents=["handbook"]),
                ("placeholder", "{history}"),
                ("human", "{question}"),
            ]
        )
        messages = prompt.invoke({"language": "English", "question": "How many days?"}).to_messages()
        assert messages[0].content[0]["document"] == "handbook"
        ```
    """
    if isinstance(instructions, ChatPromptTemplate):
        prompt = instructions
    else:
        said = [("system", instructions), ("human", question)]
        prompt = ChatPromptTemplate.from_messages(
            [(role, text) for role, text in said if text], template_format=template_format
        )
    if documents_key in prompt.input_variables:
        raise ValueError(
            f"{{{documents_key}}} stands in the template, but documents are put at its head automatically: "
            "take it out, or give another documents_key"
        )
    variables = prompt.input_variables
    return DocumentLayout(
        prompt=prompt,
        by=by,
        documents_key=documents_key,
        mark=mark,
        input_variables=variables if documents is not None else [documents_key, *variables],
        optional_variables=prompt.optional_variables,
        partial_variables={} if documents is None else {documents_key: as_documents(documents)},
    )


def as_documents(documents: Iterable[DocumentLike] | DocumentLike) -> list[Document]:
    """Convert texts and references to `Document`s; `Document`s are returned as they are, not copied."""
    if isinstance(documents, Document | str):
        documents = [documents]
    return [_named_or_text(document) if isinstance(document, str) else document for document in documents]


def is_system(message: BaseMessage) -> bool:
    """Return whether chat templates render a message as the system's."""
    return isinstance(message, SystemMessage) or (
        isinstance(message, ChatMessage) and message.role in ("system", "developer")
    )


def _named_or_text(given: str) -> Document:
    named = Document("", metadata={KVPROXY_DOCUMENT: given})
    return named if reference_of(named) else Document(given)


def _part(document: Document, by: By) -> _Part:
    """Return a document's part; a reference without its text is sent as a reference for either ``by``."""
    return as_part(document, by if has_text(document) else "reference")


def forms(document: Document) -> list[_Part]:
    """List all parts that may represent a document in a message."""
    found = [_part(document, "text"), _part(document, "reference")]
    return [*found, {"type": "text", "text": document.page_content}] if has_text(document) else found

"""Moves documents that `create_document_tool` found out of its answers, to the head, where conversations share them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, ToolMessage

from langchain_kvproxy._content_parts import bare, plain_parts
from langchain_kvproxy.documents import KVPROXY_ORDER, canonical, key_of, says_nothing
from langchain_kvproxy.prompts import forms

KVPROXY_PLACE = "kvproxy_place"
"""Metadata key of documents that `create_document_tool` found: ``"head"``, or ``"answer"`` where they stay."""

MOVED = "The documents that were found stand at the beginning of this conversation, before everything else."


def lifted(messages: Sequence[BaseMessage]) -> tuple[list[BaseMessage], list[Document]]:
    """Split messages into those without the texts of documents that the tool found, and these documents.

    They keep the order in which they were found, so that a later call adds behind those of an earlier one and moves
    none.
    """
    found: list[list[Document]] = []
    said: list[BaseMessage] = []
    for message in messages:
        documents = _documents(message)
        without = _without(message, documents) if documents else message
        if without is not message:
            found.append(canonical(documents))
        said.append(without)
    return said, in_order(found)


def in_order(layers: Iterable[Iterable[Document]]) -> list[Document]:
    """Copy documents so that their canonical order is the given one, the first layer's before the second's."""
    seen: set[str] = set()
    ordered: list[Document] = []
    for layer in layers:
        for document in layer:
            if key_of(document) in seen:
                continue
            seen.add(key_of(document))
            metadata = {**document.metadata, KVPROXY_ORDER: len(ordered)}
            ordered.append(document.model_copy(update={"metadata": metadata}))
    return ordered


def _documents(message: BaseMessage) -> list[Document]:
    artifact = message.artifact if isinstance(message, ToolMessage) else None
    if not isinstance(artifact, list):
        return []
    documents = [d for d in artifact if isinstance(d, Document) and not says_nothing(d)]
    return [document for document in documents if document.metadata.get(KVPROXY_PLACE) == "head"]


def _without(message: BaseMessage, documents: Sequence[Document]) -> BaseMessage:
    """Return the message without the documents' texts; the same one where it has none of them, as when shortened."""
    moved = [form for document in documents for form in forms(document)]
    parts = plain_parts(message)
    kept: list[Any] = [part for part in parts if bare(part) not in moved]
    if len(kept) == len(parts):
        return message
    return message.model_copy(update={"content": [{"type": "text", "text": MOVED}, *kept]})

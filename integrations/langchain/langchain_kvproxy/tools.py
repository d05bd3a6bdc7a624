"""`create_document_tool`: a retriever as a tool; the next conversation reuses its documents' prefill."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field

from langchain_kvproxy._tool_documents import KVPROXY_PLACE, in_order
from langchain_kvproxy.documents import canonical, document_id, has_text
from langchain_kvproxy.prompts import document_parts

_BEGINNING = 60
"""Characters of a document that its line in the answer quotes."""

Found: TypeAlias = tuple[str | list[dict[str, Any]], list[Document]]


class DocumentQuery(BaseModel):
    """Input of a document tool."""

    query: str = Field(description="query to look up in retriever")


def create_document_tool(
    retriever: Runnable[str, list[Document]],
    name: str,
    description: str,
    *,
    place: Literal["head", "answer"] = "head",
    metadata: Sequence[str] = (),
) -> BaseTool:
    """Make a tool that looks documents up, as LangChain's `create_retriever_tool`, for agents that decide when to.

    A prompt's tokens are reused up to the first that differs. In a tool's answer documents stand behind the
    question, so the next question computes them again, however often they were found. So `ChatKVProxy`, and
    `KVDocumentsMiddleware` with any other model, send this tool's documents at the head of the system message,
    in one order, and leave their names in the answer; documents of a later call go behind those of an earlier one.

    Without either of them the answer is a plain one: each document a part of its own with its text first, in
    canonical order, and their names behind all of them.

    Args:
        retriever: Any retriever; a `KVProxyRetriever` publishes the documents it finds, and keeps one order.
        name: The tool's name for the model.
        description: The tool's description for the model.
        place: `"answer"` leaves the documents in the tool's answer, with any model. A text in the system message
            has its authority: choose this where documents come from untrusted sources.
        metadata: Keys of the documents' metadata that the answer shows to the model, such as `"title"`.

    Returns:
        A tool; its answer has the documents as the artifact.

    Raises:
        ValueError: `place` is neither `"head"` nor `"answer"`.

    Example:
        ```python
        from langchain_core.documents import Document
        from langchain_core.runnables import RunnableLambda
        from langchain_kvproxy import create_document_tool

        leave = Document("Employees have thirty days of leave a year", id="leave")
        tool = create_document_tool(RunnableLambda(lambda query: [leave]), "rules", "Looks up the firm's rules.")
        call = {"type": "tool_call", "id": "1", "name": "rules", "args": {"query": "leave"}}
        answer = tool.invoke(call)
        assert answer.content[0]["text"] == "Employees have thirty days of leave a year\\n"
        assert [document.id for document in answer.artifact] == ["leave"]
        ```
    """
    if place not in ("head", "answer"):
        raise ValueError(f"place must be 'head' or 'answer', not {place!r}")

    def look_up(query: str, callbacks: Callbacks = None) -> Found:
        return _answer(retriever.invoke(query, {"callbacks": callbacks}), place, metadata)

    async def alook_up(query: str, callbacks: Callbacks = None) -> Found:
        return _answer(await retriever.ainvoke(query, {"callbacks": callbacks}), place, metadata)

    return StructuredTool(
        name=name,
        description=description,
        func=look_up,
        coroutine=alook_up,
        args_schema=DocumentQuery,
        response_format="content_and_artifact",
    )


def _answer(found: Iterable[Document], place: str, keys: Sequence[str]) -> Found:
    """Build the answer of the documents' texts, never their references: a tool's answer takes texts alone."""
    documents = [d for d in in_order([canonical(found)]) if has_text(d)]
    if not documents:
        return "No document was found.", []
    for document in documents:
        document.metadata[KVPROXY_PLACE] = place
    parts = document_parts(documents, by="text", mark=False)
    return [*parts, {"type": "text", "text": _names(documents, keys)}], documents


def _names(documents: Sequence[Document], keys: Sequence[str]) -> str:
    """List the documents' names, for the end of the answer, where they change no text's prefix."""
    lines = [f"{i}. {_line(document, keys)}" for i, document in enumerate(documents, 1)]
    count = f"{len(documents)} documents were" if len(documents) > 1 else "1 document was"
    return "\n".join([f"{count} found:", *lines])


def _line(document: Document, keys: Sequence[str]) -> str:
    words = " ".join(document.page_content.split())
    beginning = words if len(words) <= _BEGINNING else words[:_BEGINNING].rstrip() + " …"
    told = [f"{key}: {document.metadata[key]}" for key in keys if document.metadata.get(key) is not None]
    about = f" ({', '.join(told)})" if told else ""
    return f"{document_id(document)}{about}, which begins {json.dumps(beginning, ensure_ascii=False)}"

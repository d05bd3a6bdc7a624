"""The request that a model was really sent within a middleware's call, whatever other middleware has made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.tracers.context import register_configure_hook

from langchain_kvproxy._content_parts import bare, plain_parts
from langchain_kvproxy.documents import key_of
from langchain_kvproxy.prompts import as_documents, forms, is_system


class PlacementCheck(BaseCallbackHandler):
    """Notes whether any model call began with the documents. Other calls are other middleware's own."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._calls = self._good = 0

    @property
    def lost(self) -> bool:
        """Whether a model was called, and none with the documents at the head."""
        return self._calls > 0 and not self._good

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **kwargs: Any
    ) -> None:
        self._calls += 1
        own = (kwargs.get("invocation_params") or {}).get("documents") or ()
        if any(begins_with(prompt, self._documents) for prompt in messages) or self._are_in(own):
            self._good += 1

    def _are_in(self, own: Sequence[Any]) -> bool:
        """A ChatKVProxy puts its own documents at the head when all else is done."""
        keys = {key_of(document) for document in as_documents(own)}
        return all(key_of(document) in keys for document in self._documents)


def begins_with(messages: Sequence[BaseMessage], documents: Sequence[Document]) -> bool:
    """Whether each of ``documents`` is one of the first parts of the system message, or its text starts with the
    first one's."""
    if not documents:
        return True
    if not (messages and is_system(messages[0])):
        return False
    head = [bare(part) for part in plain_parts(messages[0])]
    if len(head) == 1:  # somebody joined the texts
        text = str(head[0].get("text", "")).lstrip()
        if any(
            document.page_content and text.startswith(document.page_content.strip()) for document in documents
        ):
            return True
    first = head[: len(documents)]
    return all(any(form in first for form in forms(document)) for document in documents)


@contextmanager
def placement_checked(documents: Sequence[Document]) -> Iterator[PlacementCheck]:
    """Within the block every chat model's call is looked at."""
    check = PlacementCheck(documents)
    token = _current.set(check)
    try:
        yield check
    finally:
        _current.reset(token)


_current: ContextVar[PlacementCheck | None] = ContextVar("kvproxy_placement", default=None)
register_configure_hook(_current, inheritable=False)

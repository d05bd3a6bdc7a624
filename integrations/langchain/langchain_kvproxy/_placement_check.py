"""`PlacementCheck`: checks the final prompt of a model call, after all middleware, for its documents."""

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
    """A callback that records whether any model call began with the documents; others are other middleware's own."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._calls = self._good = 0

    @property
    def lost(self) -> bool:
        """Whether a model was called, and no call had the documents at its head."""
        return self._calls > 0 and not self._good

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **kwargs: Any
    ) -> None:
        """Record whether the prompt of a model call begins with the documents.

        Example: `check.on_chat_model_start({}, [[SystemMessage("The handbook.")]])`
        """
        self._calls += 1
        own = (kwargs.get("invocation_params") or {}).get("documents") or ()
        if any(begins_with(prompt, self._documents) for prompt in messages) or self._are_in(own):
            self._good += 1

    def _are_in(self, own: Sequence[Any]) -> bool:
        """Return whether the model's own documents include these: a ChatKVProxy puts its own at the head last."""
        keys = {key_of(document) for document in as_documents(own)}
        return all(key_of(document) in keys for document in self._documents)


def begins_with(messages: Sequence[BaseMessage], documents: Sequence[Document]) -> bool:
    """Return whether each of ``documents`` is one of the first parts of the system message.

    Where other middleware has joined the texts into one part, its text must start with a document's.
    """
    if not documents:
        return True
    if not (messages and is_system(messages[0])):
        return False
    head = [bare(part) for part in plain_parts(messages[0])]
    if len(head) == 1:  # other middleware may have joined the texts
        text = str(head[0].get("text", "")).lstrip()
        if any(
            document.page_content and text.startswith(document.page_content.strip()) for document in documents
        ):
            return True
    first = head[: len(documents)]
    return all(any(form in first for form in forms(document)) for document in documents)


@contextmanager
def placement_checked(documents: Sequence[Document]) -> Iterator[PlacementCheck]:
    """Check every chat model's call within the block."""
    check = PlacementCheck(documents)
    token = _current.set(check)
    try:
        yield check
    finally:
        _current.reset(token)


_current: ContextVar[PlacementCheck | None] = ContextVar("kvproxy_placement", default=None)
register_configure_hook(_current, inheritable=False)

"""`KVProxyUsage`: cached tokens of the requests of engines and agents, which do not return the answers' own counts."""

from __future__ import annotations

from threading import Lock
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from typing_extensions import override


class KVProxyUsage(BaseEventHandler):
    """Event handler that sums prompt tokens and cached tokens of all requests while it is registered.

    Examples:
        ```python
        from llama_index.core.instrumentation import get_dispatcher
        from llama_index.llms.kvproxy import KVProxyUsage

        usage = KVProxyUsage()
        get_dispatcher().add_event_handler(usage)
        print(engine.query("How many days of leave do I have?"), usage)
        ```
    """

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    _lock: Any = PrivateAttr(default_factory=Lock)

    @classmethod
    @override
    def class_name(cls) -> str:
        """Return the name that LlamaIndex serialises the class by."""
        return "KVProxyUsage"

    @override
    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Add the tokens of an answer. Events without a count of cached tokens are skipped."""
        if not isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent) or event.response is None:
            return
        counts = event.response.additional_kwargs
        if "cached_tokens" not in counts:
            return
        with self._lock:
            self.requests += 1
            self.prompt_tokens += counts["prompt_tokens"]
            self.cached_tokens += counts["cached_tokens"]

    def __str__(self) -> str:
        return (
            f"{self.cached_tokens:,} of {self.prompt_tokens:,} prompt tokens were cached "
            f"in {self.requests} requests"
        )

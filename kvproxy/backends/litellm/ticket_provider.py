"""litellm's provider of the models that are served here: it starts the miss whose ticket a call names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from kvproxy.backends.litellm.router_ticket import Ticket
from kvproxy.errors import KVProxyError

PROVIDER = "kvproxy"
TICKET = "kvproxy_ticket"
"""The metadata of a call that names its ticket."""


def tickets_of(litellm: Any) -> dict[str, Ticket]:
    """Make the served models a provider's, once a process; return the tickets that it takes.

    litellm keeps providers per process, so the provider belongs to no backend: each ticket knows its own.
    """
    for item in litellm.custom_provider_map:
        if item["provider"] == PROVIDER:
            known: dict[str, Ticket] = item["custom_handler"].tickets
            return known
    from litellm.llms import custom_llm

    base: Any = custom_llm

    class Provider(base.CustomLLM):  # type: ignore[misc]  # litellm types astreaming as a coroutine; it is none
        tickets: dict[str, Ticket]

        async def astreaming(self, *_: Any, **kwargs: Any) -> AsyncIterator[dict[str, Any]]:
            """Start the miss of the call's ticket, and yield one chunk once it has its first token."""
            metadata = (kwargs.get("litellm_params") or {}).get("metadata") or {}
            ticket = self.tickets[metadata[TICKET]]
            try:
                await ticket.start()
            except Exception as e:
                status = e.http_status if isinstance(e, KVProxyError) else 500
                raise base.CustomLLMError(status, type(e).__name__) from e
            # Any text will do: it only tells the router that this deployment answers.
            chunk = {"text": "started", "is_finished": False, "finish_reason": "", "index": 0}
            yield {**chunk, "usage": None, "tool_use": None}

    provider = Provider()
    provider.tickets = {}
    litellm.custom_provider_map.append({"provider": PROVIDER, "custom_handler": provider})
    return provider.tickets

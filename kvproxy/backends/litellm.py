"""Misses and other models, through litellm's router. The only file that imports litellm, and it does so late.

Importing litellm takes seconds and 160 MB, and by default fetches a price list and reads ``.env``; the
environment variables set here turn both off and must be set before.

The local engine is a litellm provider, so the router decides who answers a miss: the engine, or a fallback.
Its text does not travel through litellm's stream though. litellm ends a stream that says the same thing 100
times, and costs 0.7 ms of CPU per chunk; a miss must read like the hit that follows it. So the provider tells
litellm that it has started, and the events go from the engine straight to the caller.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from kvproxy.backends.base import Endpoint, Generation, LocalBackend, Passthrough
from kvproxy.backends.fallback import FallbackReader, sampling_arguments, with_format
from kvproxy.backends.ticket import Ticket
from kvproxy.backends.upstream_answer import answer_of, event_cleaner
from kvproxy.backends.upstream_call import call_arguments
from kvproxy.backends.upstream_error import upstream_error
from kvproxy.errors import KVProxyError, ModelNotFound, NotReady, SetupError
from kvproxy.events import Event

_PROVIDER = "kvproxy"
_TICKET = "kvproxy_ticket"
_PLAIN_PARAMS = frozenset(
    {"model", "api_key", "api_base", "base_url", "api_version", "timeout", "organization"}
)
"""``litellm_params`` that mean the same without the router."""


class LitellmBackend:
    """A :class:`~kvproxy.backends.base.MissBackend`.

    ``upstreams``: (name, litellm_params) for each deployment; equal names share the load and stand in for one
    another. ``fallbacks``: per name, the names to try in order after a failure before the first byte.
    ``raw``: upstreams that litellm has no part in.
    """

    def __init__(
        self,
        *,
        local: LocalBackend | None,
        local_name: str,
        upstreams: Sequence[tuple[str, dict[str, Any]]],
        fallbacks: Mapping[str, Sequence[str]],
        raw: Mapping[str, Passthrough] | None = None,
    ) -> None:
        """Imports nothing yet. Raises SetupError for a fallback onto the local model, without a prompt."""
        for name, targets in fallbacks.items():
            if local_name in targets:
                raise SetupError(f"fallbacks of '{name}' names the local model; only upstreams can stand in")
        self._local = local
        self._local_name = local_name
        self._upstreams = tuple(upstreams)
        self._fallbacks = {name: list(targets) for name, targets in fallbacks.items()}
        self._raw = dict(raw or {})
        self._deployments = Counter(name for name, _ in upstreams)
        self._tickets: dict[str, Ticket] = {}
        self._starting = asyncio.Lock()
        self._litellm: Any = None
        self._client: Any = None
        self._router: Any = None

    async def start(self) -> None:
        """Import litellm in a thread and build the router; later calls return at once. No network."""
        if self._router is None:
            async with self._starting:
                if self._router is None:
                    self._litellm = await asyncio.to_thread(_load)
                    self._client = _share_client(self._litellm)
                    self._router = self._build(self._litellm)

    async def close(self) -> None:
        """Close the connections to upstreams. Streams must have ended."""
        if self._router is not None:
            await _close_clients(self._litellm, self._client)

    def models(self) -> tuple[str, ...]:
        return (*self._deployments, *self._raw)

    async def miss(self, generation: Generation, call: dict[str, Any]) -> AsyncGenerator[Event, None]:
        """Errors of the engine come out as they are, unless a fallback answered instead.

        ``call`` is what a fallback is sent. Its Started says 0 cached tokens, its Finished how many.
        """
        if self._local is None:
            raise NotReady("No local model is loaded.")
        await self.start()
        name = secrets.token_hex(16)
        ticket = Ticket(self._local, generation)
        self._tickets[name] = ticket
        try:
            async with aclosing(ticket), aclosing(self._route(ticket, name, call)) as events:
                async for event in events:
                    yield event
        finally:
            del self._tickets[name]

    async def _route(self, ticket: Ticket, name: str, plain: dict[str, Any]) -> AsyncGenerator[Event, None]:
        transparent = self._transparent_fallbacks()
        call = {
            "model": self._local_name,
            "metadata": {_TICKET: name},
            "num_retries": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **with_format(
                plain,
                sampling_arguments(ticket.generation.sampling, transparent=transparent),
                transparent=transparent,
            ),
        }
        fallback = FallbackReader()
        try:
            stream = await self._router.acompletion(**call)
            async with aclosing(stream):
                async for chunk in stream:
                    if ticket.started is not None:
                        break
                    for event in fallback.read(chunk.model_dump()):
                        yield event
        except Exception as e:
            # The engine's own failure is the news; that the fallbacks failed as well is not.
            if ticket.error is not None and not fallback.started:
                raise ticket.error from None
            raise upstream_error(e, midway=fallback.started) from None
        if ticket.started is None:
            yield fallback.finished()
            return
        yield ticket.started
        async for event in ticket.events:
            yield event

    def passthrough(self, model: str) -> Passthrough | None:
        return self._raw.get(model)

    async def complete(self, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        return answer_of(endpoint, await self._call(endpoint, body))

    async def stream(self, endpoint: Endpoint, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Raises UpstreamError, also after chunks: a stream that broke has no other end."""
        options = body.get("stream_options")
        counting = endpoint in ("chat/completions", "completions") and isinstance(options, dict)
        events = await self._call(
            endpoint, body, stream=True, **({"stream_options": options} if counting else {})
        )
        asked = isinstance(options, dict) and options.get("include_usage") is True
        clean = event_cleaner(endpoint, include_usage=asked)
        midway = False
        try:
            async for event in _underneath(events):
                midway = True
                for cleaned in clean(event):
                    yield cleaned
        except KVProxyError:
            raise
        except Exception as e:
            raise upstream_error(e, midway=midway) from None
        finally:
            if close := getattr(events, "aclose", None):  # not all of litellm's streams can be closed
                await close()

    async def _call(self, endpoint: Endpoint, body: dict[str, Any], **extra: Any) -> Any:
        name = str(body.get("model"))
        if name not in self._deployments:
            raise ModelNotFound(name)
        call = call_arguments(endpoint, body, transparent=self._transparent(endpoint, name))
        await self.start()
        lone = self._lone(endpoint, name)
        try:
            if lone is not None:
                return await self._litellm.acompletion(**{**call, **lone}, **extra)
            return await self._function(endpoint, streamed="stream" in extra)(**call, **extra)
        except Exception as e:
            raise upstream_error(e) from None

    def _lone(self, endpoint: Endpoint, name: str) -> dict[str, Any] | None:
        """Arguments for litellm itself where its router has nothing to decide: one deployment, no fallbacks, no
        limits of its own. The router takes as long again as the call, and more for each chunk of a stream."""
        if endpoint != "chat/completions" or self._deployments[name] > 1 or self._fallbacks.get(name):
            return None
        [params] = [params for known, params in self._upstreams if known == name]
        return {**params, "max_retries": 0} if params.keys() <= _PLAIN_PARAMS else None

    def _function(self, endpoint: Endpoint, *, streamed: bool) -> Callable[..., Awaitable[Any]]:
        functions: dict[Endpoint, Callable[..., Awaitable[Any]]] = {
            "chat/completions": self._router.acompletion,
            "completions": self._router.atext_completion,
            "embeddings": self._router.aembedding,
            "responses": self._router.aresponses,
            "messages": self._router.aanthropic_messages,
        }
        if endpoint == "messages" and streamed:
            # litellm's native stream imports its proxy, with fastapi and more; its translation does not.
            return partial(
                self._router._ageneric_api_call_with_fallbacks, original_function=_translated_messages
            )
        return functions[endpoint]

    def _transparent(self, endpoint: Endpoint, name: str) -> bool:
        """Whether whoever may answer for ``name`` speaks OpenAI's own dialect, on this endpoint too."""
        names = {name, *self._fallbacks.get(name, ())}
        deployments = [params for n, params in self._upstreams if n in names]
        return all(
            str(params["model"]).startswith("openai/")
            and not (endpoint == "responses" and params.get("use_chat_completions_api"))
            for params in deployments
        )

    def _transparent_fallbacks(self) -> bool:
        names = self._fallbacks.get(self._local_name, ())
        models = [str(params["model"]) for name, params in self._upstreams if name in names]
        return bool(models) and all(model.startswith("openai/") for model in models)

    def _build(self, litellm: Any) -> Any:
        deployments = [
            {
                "model_name": name,
                # A lone deployment left alone after one 401 would refuse everybody for a while.
                "litellm_params": params if self._deployments[name] > 1 else {"cooldown_time": 0, **params},
            }
            for name, params in self._upstreams
        ]
        if self._local is not None:
            self._tickets = _register(litellm)
            model = {"model": f"{_PROVIDER}/{self._local_name}", "cooldown_time": 0}
            deployments.append({"model_name": self._local_name, "litellm_params": model})
        fallbacks = [{name: targets} for name, targets in self._fallbacks.items()]
        # Failover tries the name's other deployments; trying the same one again is the client's to decide.
        return litellm.Router(
            model_list=deployments, fallbacks=fallbacks, num_retries=0, enable_weighted_failover=True
        )


def _load() -> Any:
    """Import litellm, offline and quiet. Takes seconds."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    import litellm

    # litellm is set up through attributes of its module, not all of which its types export.
    module: Any = litellm
    module.suppress_debug_info = True
    module.telemetry = False
    module.REPEATED_STREAMING_CHUNK_LIMIT = sys.maxsize
    # Embeddings are otherwise asked three times: a retry is the client's to decide.
    module.DEFAULT_MAX_RETRIES = 0
    # Many upstreams of OpenAI's dialect have no /v1/responses, which messages would else be translated to.
    module.use_chat_completions_url_for_anthropic_messages = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        # Its errors come back as exceptions; its log would repeat them with prompts and tracebacks.
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return module


def _register(litellm: Any) -> dict[str, Ticket]:
    """Make the engine a provider; returns the tickets it takes.

    litellm keeps providers per process, so the provider belongs to no backend: each ticket knows its engine.
    """
    for item in litellm.custom_provider_map:
        if item["provider"] == _PROVIDER:
            known: dict[str, Ticket] = item["custom_handler"].tickets
            return known
    from litellm.llms import custom_llm

    base: Any = custom_llm

    class Provider(base.CustomLLM):  # type: ignore[misc]  # litellm types astreaming as a coroutine; it is none
        tickets: dict[str, Ticket]

        async def astreaming(self, *_: Any, **kwargs: Any) -> AsyncIterator[dict[str, Any]]:
            metadata = (kwargs.get("litellm_params") or {}).get("metadata") or {}
            ticket = self.tickets[metadata[_TICKET]]
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
    litellm.custom_provider_map.append({"provider": _PROVIDER, "custom_handler": provider})
    return provider.tickets


def _underneath(events: Any) -> Any:
    """The openai client's own stream, where litellm's is a wrapper around it: the same chunks as the upstream sent
    them, at a third of the time. litellm's wrapper costs 0.4 ms a chunk and drops what it has no name for."""
    from openai import AsyncStream

    inner = getattr(events, "completion_stream", None)
    return inner if isinstance(inner, AsyncStream) else events


async def _translated_messages(**call: Any) -> Any:
    """``/v1/messages`` by way of chat completions, whatever the upstream's own dialect."""
    from litellm.llms.anthropic.pass_through.adapters import handler

    return await handler.LiteLLMMessagesToCompletionTransformationHandler.async_anthropic_messages_handler(
        **call
    )


def _share_client(litellm: Any) -> Any:
    """One connection pool for all upstreams of OpenAI's dialect; None when this process has one already.

    Streamed text completions would else open a pool for each request, and never close it.
    """
    if litellm.aclient_session is not None:
        return None
    from litellm.llms.openai.common_utils import BaseOpenAILLM

    litellm.aclient_session = BaseOpenAILLM._get_async_http_client()
    return litellm.aclient_session


async def _close_clients(litellm: Any, client: Any) -> None:
    """litellm caches its clients per process; its own clean-up at exit runs when their loop is gone."""
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    await GLOBAL_LOGGING_WORKER.stop()
    if client is not None:
        litellm.aclient_session = None
        await client.aclose()
    await litellm.close_litellm_async_clients()
    litellm.in_memory_llm_clients_cache.flush_cache()

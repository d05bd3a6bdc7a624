"""Misses and other models, through litellm's router.

Every served model is a deployment of a litellm provider, the local engine and each fleet, so the router decides between
its backend and a fallback for each miss.
Its text does not travel through litellm's stream though. litellm ends a stream that says the same thing 100
times, and costs 0.7 ms of CPU per chunk; a miss must read like the hit that follows it. So the provider tells
litellm that it has started, and the events go from the engine straight to the caller.

litellm runs on :mod:`a loop of its own <kvproxy.backends.litellm.litellm_loop>`, the engine on the caller's.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from kvproxy.backends.base import Endpoint, Generation, LocalBackend, Passthrough
from kvproxy.backends.litellm.bounded_transport import BoundedReading
from kvproxy.backends.litellm.fallback import FallbackReader, sampling_arguments, with_format
from kvproxy.backends.litellm.litellm_answer import answer_of, event_cleaner
from kvproxy.backends.litellm.litellm_arguments import LitellmCall, upstream_call
from kvproxy.backends.litellm.litellm_module import (
    LOOP,
    close_clients,
    load,
    share_client,
    translated_messages,
    underneath,
)
from kvproxy.backends.litellm.provider_dialect import ProviderDialect, least, upstream
from kvproxy.backends.litellm.router_ticket import Ticket
from kvproxy.backends.litellm.ticket_provider import PROVIDER, TICKET, tickets_of
from kvproxy.backends.litellm.upstream_error import upstream_error
from kvproxy.core import LeftOut
from kvproxy.errors import KVProxyError, ModelNotFound, NotReady, SetupError
from kvproxy.events import Event

_DROPPED = "not passed on by litellm"
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
        served: Mapping[str, LocalBackend],
        upstreams: Sequence[tuple[str, dict[str, Any]]],
        fallbacks: Mapping[str, Sequence[str]],
        raw: Mapping[str, Passthrough] | None = None,
    ) -> None:
        """Import nothing yet. ``served``: the models whose KV is managed here, by name. Raises SetupError for a
        fallback onto one of them, without a prompt."""
        for name, targets in fallbacks.items():
            if taken := next((target for target in targets if target in served), None):
                raise SetupError(
                    f"fallbacks of '{name}' names '{taken}', which is served here; only upstreams can stand in"
                )
        self._served = dict(served)
        self._configured = tuple(upstreams)
        self._upstreams: tuple[tuple[str, ProviderDialect], ...] = ()
        self._messages_groups: dict[str, str] = {}
        """By name, the router's group that answers Anthropic's endpoint, where it is another: litellm sends thinking
        for ``openai/`` to ``/v1/responses``."""
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
                    await asyncio.to_thread(self._load)
                    self._router = await LOOP.call(self._built)

    def _load(self) -> None:
        self._litellm = load()
        self._client = share_client(self._litellm)
        LOOP.acquire()

    async def _built(self) -> Any:
        self._upstreams = tuple((n, upstream(self._litellm, p)) for n, p in self._configured)
        return self._build(self._litellm)

    async def close(self) -> None:
        """Close the connections to upstreams. Streams must have ended."""
        if self._router is not None:
            self._router = None
            await LOOP.call(lambda: close_clients(self._litellm, self._client))
            await asyncio.to_thread(LOOP.release)

    def models(self) -> tuple[str, ...]:
        return (*self._deployments, *self._raw)

    async def miss(self, generation: Generation, call: dict[str, Any]) -> AsyncGenerator[Event, None]:
        """Errors of the model's backend come out as they are, unless a fallback answered instead.

        ``call`` is sent to a fallback. Its Started says 0 cached tokens, its Finished the upstream's count.
        """
        if not self._served:
            raise NotReady("No model is served here.")
        model = generation.model or next(iter(self._served))
        await self.start()
        name = secrets.token_hex(16)
        ticket = Ticket(self._served[model], generation)
        self._tickets[name] = ticket
        try:
            async with aclosing(ticket), aclosing(self._route(ticket, model, name, call)) as events:
                async for event in events:
                    yield event
        finally:
            del self._tickets[name]

    async def _route(
        self, ticket: Ticket, model: str, name: str, plain: dict[str, Any]
    ) -> AsyncGenerator[Event, None]:
        async with aclosing(LOOP.stream(lambda: self._decide(ticket, model, name, plain))) as instead:
            async for event in instead:
                yield event
        if ticket.started is not None:
            yield ticket.started
            async for event in ticket.events:
                yield event

    async def _decide(
        self, ticket: Ticket, model: str, name: str, plain: dict[str, Any]
    ) -> AsyncGenerator[Event, None]:
        """On litellm's loop: the events of a fallback, none where the engine has started."""
        transparent = self._transparent_fallbacks(model)
        call = {
            **{"model": model, "metadata": {TICKET: name}, "num_retries": 0},
            **{"stream": True, "stream_options": {"include_usage": True}},
            **with_format(
                plain,
                sampling_arguments(ticket.generation.sampling, transparent=transparent),
                transparent=transparent,
                confined=ticket.generation.prompt.confined,
            ),
        }
        fallback = FallbackReader()
        reading = BoundedReading(streamed=True)
        BoundedReading.current.set(reading)
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
        finally:
            await reading.aclose()
        if ticket.started is None:
            yield fallback.finished()

    def passthrough(self, model: str) -> Passthrough | None:
        return self._raw.get(model)

    async def complete(self, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        await self._start_for(body)
        return await LOOP.call(lambda: self._complete(endpoint, body))

    async def _complete(self, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        return answer_of(endpoint, await self._call(endpoint, body, BoundedReading(streamed=False)))

    async def stream(self, endpoint: Endpoint, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the upstream's events. Raises UpstreamError, also after chunks: a broken stream has no other end."""
        await self._start_for(body)
        async with aclosing(LOOP.stream(lambda: self._stream(endpoint, body))) as events:
            async for event in events:
                yield event

    async def _stream(self, endpoint: Endpoint, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        options = body.get("stream_options")
        counting = endpoint in ("chat/completions", "completions") and isinstance(options, dict)
        extra = {"stream_options": options} if counting else {}
        reading = BoundedReading(streamed=True)
        events = await self._call(endpoint, body, reading, stream=True, **extra)
        asked = isinstance(options, dict) and options.get("include_usage") is True
        clean = event_cleaner(endpoint, include_usage=asked)
        midway = False
        try:
            async for event in underneath(events):
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
            await reading.aclose()

    async def left_out(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[LeftOut, ...]:
        await self._start_for(body)
        call = self._asked(endpoint, body)
        return tuple(LeftOut(name, _DROPPED) for name in call.left_out)

    async def _start_for(self, body: dict[str, Any]) -> None:
        if (name := str(body.get("model"))) not in self._deployments:
            raise ModelNotFound(name)
        await self.start()

    def _asked(self, endpoint: Endpoint, body: dict[str, Any]) -> LitellmCall:
        name = str(body.get("model"))
        names = {name, *self._fallbacks.get(name, ())}
        return upstream_call(endpoint, body, least([u for n, u in self._upstreams if n in names]))

    async def _call(
        self, endpoint: Endpoint, body: dict[str, Any], reading: BoundedReading, **extra: Any
    ) -> Any:
        name = str(body.get("model"))
        call = self._asked(endpoint, body).arguments
        if endpoint == "messages":
            call["model"] = self._messages_groups.get(name, name)
        lone = self._lone(endpoint, name)
        BoundedReading.current.set(reading)
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
        [params] = [u.params for known, u in self._upstreams if known == name]
        plain = {k: v for k, v in params.items() if k != "use_chat_completions_api"}
        return {**plain, "max_retries": 0} if plain.keys() <= _PLAIN_PARAMS else None

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
                self._router._ageneric_api_call_with_fallbacks, original_function=translated_messages
            )
        return functions[endpoint]

    def _transparent_fallbacks(self, model: str) -> bool:
        names = self._fallbacks.get(model, ())
        standing_in = [u for name, u in self._upstreams if name in names]
        return bool(standing_in) and least(standing_in).dialect == "openai"

    def _deployment(self, group: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
        # A lone deployment left alone after one 401 would refuse everybody for a while.
        alone = {} if self._deployments[name] > 1 else {"cooldown_time": 0}
        return {"model_name": group, "litellm_params": {**alone, **params}}

    def _build(self, litellm: Any) -> Any:
        deployments = [self._deployment(name, name, u.params) for name, u in self._upstreams]
        self._messages_groups = {
            n: f"{n} messages" for n, u in self._upstreams if u.messages_params is not None
        }
        for name, u in self._upstreams:
            if (group := self._messages_groups.get(name)) is not None:
                deployments.append(self._deployment(group, name, u.messages_params or u.params))
        if self._served:
            self._tickets = tickets_of(litellm)
        for name in self._served:
            params = {"model": f"{PROVIDER}/{name}", "cooldown_time": 0}
            deployments.append({"model_name": name, "litellm_params": params})
        fallbacks = [{name: targets} for name, targets in self._fallbacks.items()]
        fallbacks += [
            {group: [self._messages_groups.get(target, target) for target in self._fallbacks[name]]}
            for name, group in self._messages_groups.items()
            if name in self._fallbacks
        ]
        # Failover tries the name's other deployments; trying the same one again is the client's to decide.
        return litellm.Router(
            model_list=deployments, fallbacks=fallbacks, num_retries=0, enable_weighted_failover=True
        )

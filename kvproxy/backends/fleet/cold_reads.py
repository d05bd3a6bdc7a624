"""`ColdReads`: a hit on a replica beside a read that its cache is kept from, greedy, with logprobs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

from kvproxy.backends.fleet.completion_body import encoded_body
from kvproxy.backends.fleet.completion_reader import CompletionReader
from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.prompt_router import PromptRouter
from kvproxy.backends.fleet.replica_answer import ReplicaAnswer
from kvproxy.backends.fleet.replica_errors import client_error
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.core import Caller, MissReason, Prompt
from kvproxy.core.fleet_comparison import FleetComparison
from kvproxy.errors import HitLost, InvalidRequest
from kvproxy.events import TokenLogprob

TOP = 5
"""Alternatives whose logprobs are compared at each position."""
GENERATE = "/inference/v1/generate"


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """One greedy answer: a token and the logprobs of its alternatives for each position."""

    tokens: tuple[int, ...]
    logprobs: tuple[Mapping[int, float], ...]
    cached_tokens: int


class ColdReads:
    """Comparisons of one fleet. Event loop only."""

    def __init__(self, replicas: FleetReplicas, router: PromptRouter, timeout_s: float) -> None:
        """Take the fleet's parts; ``timeout_s`` bounds each read."""
        self._replicas, self._router, self._timeout_s = replicas, router, timeout_s

    async def compare(
        self,
        prompt: Prompt,
        caller: Caller,
        new_tokens: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> FleetComparison:
        """Compare a hit on a prompt with a read from scratch, at the replica that it would go to.

        The prompt is read once to have it cached, once more as a hit, and once cold. Raises HitLost where the second
        read took nothing from the cache, and the errors of ``LocalBackend.generate``.

        Example: ``await reads.compare(prompt, caller, 24)``
        """
        plan = self._router.plan(prompt, caller)
        replica = self._replicas.find(plan.choice.replica)
        if replica is None or replica.facts is None:
            raise client_error([])
        ids, total = prompt.token_ids, 3 * len(prompt.token_ids)
        try:
            hit = await self._hit(replica, ids, plan.salt, plan.key, new_tokens)
            if progress is not None:
                progress(2 * len(ids), total)
            cold, forced = await self._cold(replica, ids, plan.key, new_tokens)
        except ReplicaFailed as e:
            self._replicas.failed(e)
            raise client_error([e]) from e
        if progress is not None:
            progress(total, total)
        return compared(replica.name, len(ids), hit, cold, forced=forced)

    async def _hit(
        self, replica: FleetReplica, ids: Sequence[int], salt: str, key: str, new_tokens: int
    ) -> ReadAnswer:
        await self._read(replica, ids, salt, key, 1)
        hit = await self._read(replica, ids, salt, key, new_tokens)
        if hit.cached_tokens == 0:
            raise HitLost("the replica took nothing of this prompt from its cache", MissReason.NOT_RESIDENT)
        return hit

    async def _cold(
        self, replica: FleetReplica, ids: Sequence[int], key: str, new_tokens: int
    ) -> tuple[ReadAnswer, bool]:
        """Return a cold read: told to skip the cache where the replica can be, else kept from it by its salt alone. A
        replica that skips its cache writes to it as ever, so that both have a salt of their own: a prompt without one
        would be found by whoever asks the replica itself."""
        salt = secrets.token_urlsafe(32)
        try:
            return await self._generate(replica, ids, salt, new_tokens), True
        except (ReplicaFailed, InvalidRequest) as e:
            if isinstance(e, ReplicaFailed) and e.kind != "misconfigured":
                raise
        return await self._read(replica, ids, salt, key, new_tokens), False

    async def _read(
        self, replica: FleetReplica, ids: Sequence[int], salt: str, key: str, new_tokens: int
    ) -> ReadAnswer:
        fields: dict[str, Any] = {
            "model": replica.facts.served_as if replica.facts is not None else "",
            "max_tokens": new_tokens,
            "temperature": 0.0,
            "logprobs": TOP,
            "return_tokens_as_token_ids": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_salt": salt,
        }
        reader = CompletionReader(lambda id: b"", TOP)
        found: list[TokenLogprob] = []
        async with AsyncExitStack() as stack:
            answer = ReplicaAnswer(replica, reader, stack)
            await answer.begin(encoded_body(ids, fields), {"x-session-id": key}, self._timeout_s)
            async with aclosing(answer.deltas()) as deltas:
                async for delta in deltas:
                    found += delta.logprobs
        tops = tuple({one.token_id: one.logprob for one in (*t.top, t.chosen)} for t in found)
        return ReadAnswer(tuple(t.chosen.token_id for t in found), tops, reader.cached_tokens or 0)

    async def _generate(
        self, replica: FleetReplica, ids: Sequence[int], salt: str, new_tokens: int
    ) -> ReadAnswer:
        sampling = {
            "max_tokens": new_tokens,
            "temperature": 0.0,
            "logprobs": TOP,
            "skip_reading_prefix_cache": True,
        }
        body = {"token_ids": list(ids), "sampling_params": sampling, "stream": False, "cache_salt": salt}
        found = await replica.client.post(GENERATE, body, within_s=self._timeout_s)
        return read_generated(found)


def read_generated(found: Any) -> ReadAnswer:
    """Return the answer of ``/inference/v1/generate``. Raises ReplicaFailed where it has another form.

    Example: ``read_generated(await client.post("/inference/v1/generate", body))``
    """
    try:
        choice = found["choices"][0]
        content = (choice.get("logprobs") or {}).get("content") or []
        tops = tuple(
            {int(top["token_id"]): float(top["logprob"]) for top in (*one.get("top_logprobs", ()), one)}
            for one in content
        )
        tokens = tuple(int(one["token_id"]) for one in content)
        details = (found.get("usage") or {}).get("prompt_tokens_details") or {}
        return ReadAnswer(tokens, tops, details.get("cached_tokens") or 0)
    except (LookupError, TypeError, ValueError, AttributeError) as e:
        raise ReplicaFailed("", "misconfigured", f"{GENERATE} has another form: {e!r}"[:200]) from e


def compared(
    replica: str, prompt_tokens: int, hit: ReadAnswer, cold: ReadAnswer, *, forced: bool
) -> FleetComparison:
    """Return the agreement of two answers: as far as their tokens are the same, and the position behind them.

    Example: ``compared("a", 1003, hit, cold, forced=True)``
    """
    tokens = min(len(hit.tokens), len(cold.tokens))
    equal = next((at for at in range(tokens) if hit.tokens[at] != cold.tokens[at]), tokens)
    positions = min(equal + 1, tokens)
    largest = max((_distance(hit.logprobs[at], cold.logprobs[at]) for at in range(positions)), default=0.0)
    return FleetComparison(
        replica,
        prompt_tokens,
        hit.cached_tokens,
        cold.cached_tokens,
        forced,
        tokens,
        equal,
        positions,
        largest,
    )


def _distance(a: Mapping[int, float], b: Mapping[int, float]) -> float:
    return max((abs(a[token] - b[token]) for token in a.keys() & b.keys()), default=0.0)

"""`FleetAnswers`: one generation as the events of a replica's answer, at another replica where the first one fails."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import Any

from kvproxy.backends.base import Generation
from kvproxy.backends.fleet.answer_structure import constrained_param, structure_fields
from kvproxy.backends.fleet.completion_body import completion_fields, encoded_body
from kvproxy.backends.fleet.completion_reader import CompletionReader
from kvproxy.backends.fleet.fleet_grammars import FleetGrammars
from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.fleet_residency import FleetResidency, ReportedCache
from kvproxy.backends.fleet.prompt_router import PlannedPrompt, PromptRouter
from kvproxy.backends.fleet.replica_answer import ReplicaAnswer
from kvproxy.backends.fleet.replica_errors import client_error
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.backends.fleet.token_names import TokenNames
from kvproxy.core import GrammarText
from kvproxy.core.block_rounding import whole_blocks
from kvproxy.core.replica_choice import ReplicaChoice
from kvproxy.errors import InvalidRequest, KVProxyError, UnsupportedSchema, UpstreamError
from kvproxy.events import Event, Finished, Started, Usage
from kvproxy.routing.prefill_speed import PrefillSample
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.settings.fleet_settings import FleetSettings

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 8
"""Replicas that one request is sent to at most."""
MOST_FAILED = 2
"""Replicas that fail at one request itself, after which no other one is troubled with it."""
_LARGE_PROMPT = 8192
"""Tokens from which a prompt's hashes are made on a thread."""


@dataclass(frozen=True, slots=True)
class _SentPrompt:
    """A request as it is sent to any replica, whatever its name for the model."""

    generation: Generation
    plan: PlannedPrompt
    fields: Mapping[str, Any]
    written: GrammarText | None
    retained: bool


class FleetAnswers:
    """Answers of a fleet. Event loop only."""

    def __init__(
        self,
        settings: FleetSettings,
        replicas: FleetReplicas,
        residency: FleetResidency,
        router: PromptRouter,
        grammars: FleetGrammars,
        names: TokenNames,
        room: Callable[[int], int],
    ) -> None:
        """``room``: tokens that an answer to a prompt of so many may have at most.

        Example: ``FleetAnswers(settings, replicas, residency, router, grammars, names, info.room)``
        """
        self._settings = settings
        self._replicas, self._residency, self._router = replicas, residency, router
        self._grammars, self._names, self._room = grammars, names, room
        self._uncounted: set[str] = set()

    async def events(self, generation: Generation) -> AsyncGenerator[Event, None]:
        """Yield Started, TextDelta*, Finished. Before Started a replica that fails is left for another one; behind it
        the stream ends with UpstreamError. Raises the errors of ``LocalBackend.generate``."""
        sent = await self._prepared(generation)
        failures: list[ReplicaFailed] = []
        while (replica := self._next(sent, failures)) is not None:
            started = False
            try:
                async with aclosing(self._attempt(sent, replica)) as events:
                    async for event in events:
                        started = True
                        yield event
                return
            except InvalidRequest as e:
                raise constraint_error(generation, e) from e
            except ReplicaFailed as e:
                self._replicas.failed(e)
                logger.warning("%s: %s", generation.request_id, e)
                if started:
                    self._replicas.broken_streams += 1
                    raise UpstreamError(
                        "The replica that answered failed in the middle; send the request again.", status=502
                    ) from e
                failures.append(e)
                self._replicas.retries[e.kind] += 1
                if sum(f.kind == "failed-request" for f in failures) >= MOST_FAILED:
                    break
        raise self._given_up(generation, failures)

    def _given_up(self, generation: Generation, failures: list[ReplicaFailed]) -> KVProxyError:
        """Return the client's error. Engines fail in the middle of compiling a form that their backend has not got."""
        told = bool(failures) and all(failure.kind == "failed-request" for failure in failures)
        if not told or generation.constraint is None:
            return client_error(failures)
        param = constrained_param(generation.constraint)
        logger.warning(
            "%s: the form of its answer failed at the replicas; vLLM has it with --structured-outputs-config "
            '\'{"backend": "guidance"}\'',
            generation.request_id,
        )
        return UnsupportedSchema(f"Invalid '{param}': the model's engine failed to enforce it.", param=param)

    async def _prepared(self, generation: Generation) -> _SentPrompt:
        """Plan a generation. One that may leave nothing behind, or take nothing, has a salt of its own: a replica keeps
        its blocks until others need the room, and nobody finds them."""
        once = secrets.token_urlsafe(32) if generation.fresh or not generation.retain else None
        written = await self._written(generation)
        structure = None
        if generation.constraint is not None:
            structure = structure_fields(generation.constraint, written, self._settings.kind)
        plan = self._router.plan(generation.prompt, generation.caller, once=once)
        room = max(1, self._room(len(generation.prompt.token_ids)))
        fields = completion_fields(
            generation, kind=self._settings.kind, model="", salt=plan.salt, room=room, structure=structure
        )
        return _SentPrompt(generation, plan, fields, written, once is None)

    async def _written(self, generation: Generation) -> GrammarText | None:
        if generation.constraint is None or self._settings.kind != "vllm":
            return None
        return await self._grammars.written(generation.constraint, generation.caller)

    def _next(self, sent: _SentPrompt, failures: list[ReplicaFailed]) -> FleetReplica | None:
        """Return the replica to ask: that of the lookup, the planned ones, then any other that is left."""
        if len(failures) >= MOST_ATTEMPTS:
            return None
        failed = {failure.replica for failure in failures}
        wanted = sent.generation.choice
        held = () if wanted is None or not sent.retained else (wanted.replica,)
        for name in (*held, sent.plan.choice.replica, *sent.plan.order):
            replica = self._replicas.find(name)
            if replica is not None and replica.usable and name not in failed:
                return replica
        once = None if sent.retained else sent.plan.salt
        again = self._router.plan(sent.generation.prompt, sent.generation.caller, once=once, avoid=failed)
        return self._replicas.find(again.choice.replica)

    async def _attempt(self, sent: _SentPrompt, replica: FleetReplica) -> AsyncGenerator[Event, None]:
        generation, loads = sent.generation, self._replicas.loads
        prompt_tokens = len(generation.prompt.token_ids)
        choice = self._choice(sent, replica)
        computed = prompt_tokens - choice.expected_tokens
        body = await self._body(sent, replica)
        reader = await self._reader(generation)
        queue_s, others = self._replicas.queue_s(replica.name), replica.others
        self._follow(generation, choice.expected_tokens, lambda: reader.started)
        async with AsyncExitStack() as stack:
            answer = ReplicaAnswer(replica, reader, stack)
            await self._begun(sent, answer, body, computed)
            stack.callback(loads.ended, replica.name)
            started = self._started(sent, choice, answer.first_token_s, queue_s)
            yield replace(started, timed=started.timed and not others)
            async with aclosing(answer.deltas()) as deltas:
                async for delta in deltas:
                    yield delta
            usage = await self._counted(sent, answer, choice, queue_s)
            assert reader.reason is not None
            yield Finished(reader.reason, usage, reader.stopped_by)

    async def _begun(self, sent: _SentPrompt, answer: ReplicaAnswer, body: bytes, computed: int) -> None:
        """Send the request and wait for its first token, which the router knows of meanwhile."""
        name, plan = answer.replica.name, sent.plan
        # The last position is computed anew by every read, and its block with it.
        there = min(plan.shared.tokens, len(sent.generation.prompt.token_ids) - 1)
        shared = whole_blocks(max(0, there), self._residency.block_of(name))
        headers = {"x-session-id": plan.key, "x-request-id": sent.generation.request_id}
        self._replicas.sent(name, computed)
        self._replicas.pending.begin(plan.shared.key, name, shared)
        began = False
        try:
            await answer.begin(body, headers, self._settings.timeout_s)
            began = True
        finally:
            self._replicas.pending.end(plan.shared.key, name, shared)
            done = self._replicas.loads.prefilled if began else self._replicas.loads.withdrawn
            done(name, computed)

    def _choice(self, sent: _SentPrompt, replica: FleetReplica) -> ReplicaChoice:
        for known in (sent.generation.choice, sent.plan.choice):
            if known is not None and sent.retained and known.replica == replica.name:
                return known
        expected = 0
        if sent.retained:
            prompt = sent.generation.prompt
            expected = self._residency.held(prompt.token_ids, sent.plan.salt, (replica.name,)).get(
                replica.name, 0
            )
        block = self._residency.block_of(replica.name)
        return replace(sent.plan.choice, replica=replica.name, expected_tokens=expected, block_tokens=block)

    async def _body(self, sent: _SentPrompt, replica: FleetReplica) -> bytes:
        facts = replica.facts
        fields = {**sent.fields, "model": self._settings.name if facts is None else facts.served_as}
        ids = sent.generation.prompt.token_ids
        return await off_loop_if_large(len(ids), lambda: encoded_body(ids, fields))

    async def _reader(self, generation: Generation) -> CompletionReader:
        wanted = generation.sampling.logprobs
        if wanted is None:
            return CompletionReader()
        return CompletionReader(await self._names.loaded(), wanted)

    def _follow(self, generation: Generation, expected: int, started: Callable[[], bool]) -> None:
        if generation.progress is not None:
            tokens = len(generation.prompt.token_ids)
            generation.progress.follow(lambda: (expected, tokens if started() else expected))

    def _started(
        self, sent: _SentPrompt, choice: ReplicaChoice, first_token_s: float, queue_s: float
    ) -> Started:
        """Return the first event. The queue is a guess: where it is most of the time, the rest is no measurement."""
        waited_s = min(queue_s, first_token_s)
        expected = choice.expected_tokens
        return Started(
            expected,
            collapsed=False,
            queue_s=waited_s,
            load_s=0.0,
            prefill_s=first_token_s - waited_s,
            cache_write_tokens=self._written_tokens(sent, choice, expected),
            left_out=sent.written.left_out if sent.written is not None else (),
            confirmed=False,
            choice=choice,
            timed=waited_s <= first_token_s / 2,
        )

    def _written_tokens(self, sent: _SentPrompt, choice: ReplicaChoice, cached: int) -> int:
        block = choice.block_tokens or 1
        whole = len(sent.generation.prompt.token_ids) // block * block
        return max(0, whole - cached) if sent.retained else 0

    async def _counted(
        self, sent: _SentPrompt, answer: ReplicaAnswer, choice: ReplicaChoice, queue_s: float
    ) -> Usage:
        """Return the final counts, and take in what they say of the replica's cache and speed."""
        replica, reader, ids = answer.replica, answer.reader, sent.generation.prompt.token_ids
        cached = reader.cached_tokens
        taken, told = min(max(cached or 0, 0), len(ids)), cached is not None
        if cached is None:
            self._tell_uncounted(replica)
        elif cached != taken:
            logger.warning("replica %s counts %d cached of %d tokens", replica.name, cached, len(ids))
            cached = (
                None  # no engine counts so: nothing is learnt from it, the size of its blocks least of all
            )
        self._replicas.succeeded(replica.name)
        replica.reads.count(len(ids), taken)
        self._replicas.identified(replica, reader.fingerprint)
        if cached is not None or choice.expected_tokens == 0:  # else nobody knows how much was computed
            sample = PrefillSample(len(ids) - taken, answer.first_token_s, queue_s)
            self._replicas.prefilled(replica.name, sample)
        report = ReportedCache(replica.name, choice.expected_tokens, cached, sent.retained)
        if sent.retained:
            await self._residency.learn_aside(ids, sent.plan.salt, report, large=_LARGE_PROMPT)
        created = reader.created_tokens
        if created is None:
            written = self._written_tokens(sent, choice, taken)
        else:
            written = min(max(created, 0), len(ids) - taken)
        return Usage(len(ids), reader.generated, taken, written, reported=told)

    def _tell_uncounted(self, replica: FleetReplica) -> None:
        if replica.name in self._uncounted:
            return
        self._uncounted.add(replica.name)
        flag = "--enable-prompt-tokens-details" if self._settings.kind == "vllm" else "--enable-cache-report"
        logger.warning(
            "replica %s does not say how many tokens it took from its cache, so no hit of it is counted; start it "
            "with %s",
            replica.name,
            flag,
        )


def constraint_error(generation: Generation, error: InvalidRequest) -> InvalidRequest:
    """Return a replica's refusal of a request with the client's own name of the field that it is about.

    Example: ``raise constraint_error(generation, error) from error``
    """
    if generation.constraint is not None and isinstance(error, UnsupportedSchema):
        error.param = constrained_param(generation.constraint)
    return error

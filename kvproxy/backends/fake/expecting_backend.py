"""`ExpectingBackend`: a fake that tells cached tokens as a fleet does: expected ones first, then the replica's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from kvproxy.backends.base import FleetComparison, Generation, Kept, NoPages, PageLookup, PagesFound
from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import Caller, MissCause, MissReason, Prompt
from kvproxy.core.block_rounding import whole_blocks
from kvproxy.core.replica_choice import ReplicaChoice, ReplicaResidency
from kvproxy.errors import HitLost
from kvproxy.events import Event, Finished, Started


class ExpectingBackend(FakeBackend):
    """A :class:`LocalBackend` of one replica without a model, with blocks of ``block_tokens``.

    ``reported``: the cached tokens of its next answers, whatever was cached; None: what was. ``generated``: the same of
    their completion tokens. ``cause`` and ``detail``
    are those of its choices. ``difference``: the distance of a hit's logprobs from a cold read's; where there is one,
    the last token differs too. All may be changed while it runs.
    """

    def __init__(
        self,
        *,
        model: str = "fake",
        block_tokens: int = 128,
        replica: str = "replica-a",
        max_context: int = 4096,
    ) -> None:
        super().__init__(model=model, exact=False, max_context=max_context)
        self.info = replace(self.info, fleet=True)
        self.block_tokens = block_tokens
        self.replica = replica
        self.reported: int | None = None
        self.generated: int | None = None
        self.silent = False
        """True: it tells no cached tokens."""
        self.expected: int | None = None
        """Tokens that its lookups expect; None: what is cached."""
        self.cause: MissCause | None = None
        self.detail = ""

    @contextmanager
    def hold(self, prompt: Prompt, caller: Caller) -> Iterator[PageLookup]:
        """See ``LocalBackend.hold``."""
        with super().hold(prompt, caller) as found:
            tokens = whole_blocks(found.tokens if isinstance(found, PagesFound) else 0, self.block_tokens)
            tokens = tokens if self.expected is None else self.expected
            choice = ReplicaChoice(self.replica, "", tokens, self.block_tokens, self.cause, self.detail)
            yield (
                PagesFound(tokens, 0, choice)
                if tokens
                else NoPages(isinstance(found, NoPages) and found.evicted, choice)
            )

    async def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        """See ``LocalBackend.generate``."""
        choice = generation.choice or ReplicaChoice(self.replica, "", 0, self.block_tokens)
        expected, tokens, begun = choice.expected_tokens, len(generation.prompt.token_ids), False
        if generation.progress is not None:
            generation.progress.follow(lambda: (expected, tokens if begun else expected))
        events = super().generate(replace(generation, require_cached=0))
        try:
            async for event in events:
                if isinstance(event, Started):
                    begun = True
                    yield replace(event, cached_tokens=expected, confirmed=False, choice=choice)
                elif isinstance(event, Finished):
                    cached = whole_blocks(event.usage.cached_tokens, self.block_tokens)
                    told = cached if self.reported is None else self.reported
                    new = event.usage.completion_tokens if self.generated is None else self.generated
                    told = 0 if self.silent else told
                    usage = replace(
                        event.usage, cached_tokens=told, completion_tokens=new, reported=not self.silent
                    )
                    yield replace(event, usage=usage)
                else:
                    yield event
        finally:
            await events.aclose()

    def replicas_of(self, kept: Kept, caller: Caller) -> tuple[ReplicaResidency, ...]:
        """See ``LocalBackend.replicas_of``: its one replica, or ``replicas`` where they were planned."""
        tokens = whole_blocks(self.resident(kept, caller), self.block_tokens)
        own = (ReplicaResidency(self.replica, tokens, "device"),) if tokens else ()
        return self.replicas or own

    async def compare(  # type: ignore[override]  # a fleet compares answers, where the engine compares bits
        self,
        prompt: Prompt,
        caller: Caller,
        new_tokens: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> FleetComparison:
        """See ``LocalBackend.compare``.

        Example: ``await backend.compare(prompt, caller, 24)``
        """
        with self.hold(prompt, caller) as found:
            cached = found.tokens if isinstance(found, PagesFound) else 0
        if not cached:
            raise HitLost("no block of this prompt is cached", MissReason.NOT_RESIDENT)
        if progress is not None:
            progress(len(prompt.token_ids), len(prompt.token_ids))
        equal = new_tokens - 1 if self.difference else new_tokens
        return FleetComparison(
            replica=self.replica,
            prompt_tokens=len(prompt.token_ids),
            cached_tokens=cached if self.reported is None else self.reported,
            cold_cached_tokens=0,
            forced=False,
            tokens=new_tokens,
            equal_tokens=equal,
            positions=new_tokens,
            largest_difference=self.difference,
        )

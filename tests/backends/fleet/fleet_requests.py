"""Prompts and generations for tests of fleets, and their events collected."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count

from kvproxy.backends.base import Generation
from kvproxy.backends.fleet.fleet_backend import FleetBackend
from kvproxy.core import PUBLIC, Caller, Constraint, Prompt, Sampling
from kvproxy.core.known_prefix import KnownPrefix, PageKeys
from kvproxy.core.prompts import Span
from kvproxy.core.requests import DocumentRef
from kvproxy.events import Finished, Started, TextDelta

ALICE, BOB = Caller("alice", "tenant:alice"), Caller("bob", "tenant:bob")
_NUMBERS = count()


@dataclass
class CollectedAnswer:
    """The events of one answer."""

    started: Started | None = None
    deltas: list[TextDelta] = field(default_factory=list)
    finished: Finished | None = None

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def cached(self) -> int:
        assert self.finished is not None
        return self.finished.usage.cached_tokens


def document_prompt(
    document: tuple[int, ...], question: tuple[int, ...], scope: str | None = PUBLIC, id: str = "handbook"
) -> Prompt:
    """Return a prompt that begins with a published prefix."""
    owner = None if scope == PUBLIC else scope
    span = Span(DocumentRef(id, 1, owner), 0, len(document), scope)
    known = KnownPrefix(len(document), PageKeys()) if scope is not None else None
    return Prompt((*document, *question), (span,), known=known)


def a_generation(
    prompt: Prompt | tuple[int, ...],
    caller: Caller = ALICE,
    sampling: Sampling | None = None,
    constraint: Constraint | None = None,
    *,
    retain: bool = True,
) -> Generation:
    made = prompt if isinstance(prompt, Prompt) else Prompt(prompt)
    return Generation(
        f"chatcmpl-{next(_NUMBERS)}",
        made,
        sampling or Sampling(temperature=0.0, max_tokens=8),
        caller,
        constraint=constraint,
        retain=retain,
    )


async def answer_of(backend: FleetBackend, generation: Generation) -> CollectedAnswer:
    found = CollectedAnswer()
    async with aclosing(backend.generate(generation)) as events:
        async for event in events:
            if isinstance(event, Started):
                assert found.started is None and not found.deltas
                found.started = event
            elif isinstance(event, TextDelta):
                found.deltas.append(event)
            else:
                assert isinstance(event, Finished) and found.finished is None
                found.finished = event
    return found

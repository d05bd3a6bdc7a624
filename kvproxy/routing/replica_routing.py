"""`choose_replica`: the replica for one prompt, by cost, residency and the ring. Pure: equal inputs, equal choice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from kvproxy.core.miss_causes import MissCause
from kvproxy.routing.rendezvous import in_order
from kvproxy.routing.replica_set import ReplicaSet
from kvproxy.routing.routed_prompt import RoutedPrompt, RoutingPolicy


def choose_replica(
    key: str,
    prompt_tokens: int,
    present: Mapping[str, int],
    replicas: ReplicaSet,
    policy: RoutingPolicy,
    avoid: Collection[str] = (),
    waiting: int = 0,
) -> RoutedPrompt:
    """Return the replica that a prompt is sent to, and those to try after it.

    ``key`` is the document's (`routing_key`), or the caller's own for its conversation where the prompt has no
    document. ``present`` are leading tokens by replica, of `ResidencyIndex.longest` and `PendingPrefills`. Replicas
    that are down or in ``avoid`` are left out, and names in ``present`` that the set has not. ``waiting`` are
    other readers of the key without their first token (`PendingPrefills.waiting`): a copy serves them as well.

    1. The ring's choice is the first replica of the key's order that is within ``bounded_load``.
    2. Of the replicas that hold more than the ring's choice, or as much where that is most of the prompt, the one of
       least cost overrules it, unless it is beyond ``bounded_load`` and the ring's choice costs less, with recomputing
       at ``recompute_price``, which those who wait share.

    Cost is seconds to the first token: tokens that are not there over the measured speed, and the queue.

    Example: ``choose_replica(routing_key(print, "handbook@3"), 9000, {"a": 8192}, replicas, RoutingPolicy())``
    """
    up = replicas.up
    if avoid:
        up = up.copy()
        up[replicas.positions(avoid)] = False
    if not up.any():
        return RoutedPrompt("", cause=MissCause.ENGINE_FAILED)
    queue_s = _queue_seconds(replicas, policy)
    fleet = _FleetLoads(
        replicas, policy, up, queue_s, _overloaded(replicas, policy, up, queue_s, prompt_tokens)
    )
    return _routed(_PromptPlaces(prompt_tokens, present, replicas.ring.scores(key), waiting), fleet)


@dataclass(frozen=True, slots=True)
class _FleetLoads:
    """All replicas at one moment; arrays by position."""

    replicas: ReplicaSet
    policy: RoutingPolicy
    up: npt.NDArray[np.bool_]
    queue_s: npt.NDArray[np.float64]
    overloaded: npt.NDArray[np.bool_]

    def held(self, at: int, prompt: _PromptPlaces) -> int:
        """Return the leading tokens of a prompt that a replica holds."""
        return min(prompt.present.get(self.replicas.names[at], 0), prompt.tokens)

    def cost(self, at: int, prompt: _PromptPlaces) -> float:
        """Return the seconds to a prompt's first token."""
        return float((prompt.tokens - self.held(at, prompt)) / self.replicas.rate[at] + self.queue_s[at])


@dataclass(frozen=True, slots=True)
class _PromptPlaces:
    """One prompt: its length, what of it lies where, and each replica's place in its key's order (by position)."""

    tokens: int
    present: Mapping[str, int]
    scores: npt.NDArray[np.float64]
    waiting: int


def _routed(prompt: _PromptPlaces, fleet: _FleetLoads) -> RoutedPrompt:
    home = _first_within_bound(prompt, fleet)
    holders = _holders(home, prompt, fleet)
    chosen = home
    if holders and not (fleet.overloaded[holders[0]] and _spill_pays(holders[0], home, prompt, fleet)):
        chosen = holders[0]
    following = islice(_following(chosen, holders, prompt, fleet), fleet.policy.retries)
    names = fleet.replicas.names
    return RoutedPrompt(
        replica=names[chosen],
        expected_tokens=fleet.held(chosen, prompt),
        cause=_cause(chosen, holders, prompt, fleet),
        order=tuple(names[at] for at in following),
    )


def _queue_seconds(replicas: ReplicaSet, policy: RoutingPolicy) -> npt.NDArray[np.float64]:
    """Return the seconds before a replica begins a prompt that comes now, and that running requests delay it by."""
    full = replicas.running / replicas.capacity
    waiting = np.maximum(0.0, replicas.running + 1 - replicas.capacity) / replicas.capacity
    seconds: npt.NDArray[np.float64] = (
        replicas.queued / replicas.rate + full * policy.full_batch_s + waiting * policy.answer_s
    )
    return seconds


def _overloaded(
    replicas: ReplicaSet,
    policy: RoutingPolicy,
    up: npt.NDArray[np.bool_],
    queue_s: npt.NDArray[np.float64],
    prompt_tokens: int,
) -> npt.NDArray[np.bool_]:
    """Return whose work, in tokens, exceeds the bound: a multiple of its share of all work, this prompt's included."""
    work = queue_s * replicas.rate
    share = policy.bounded_load * (work[up].sum() + prompt_tokens) / replicas.weight[up].sum()
    over: npt.NDArray[np.bool_] = work > share * replicas.weight
    return over


def _first_within_bound(prompt: _PromptPlaces, fleet: _FleetLoads) -> int:
    """Return the first replica of the key's order that is within the bound. One always is: not all of them can have
    more than the mean; rounding aside, for which the order's first stands in."""
    within = fleet.up & ~fleet.overloaded
    scores = np.where(within if within.any() else fleet.up, prompt.scores, np.inf)
    return int(np.argmin(scores))


def _holders(home: int, prompt: _PromptPlaces, fleet: _FleetLoads) -> list[int]:
    """Return those that overrule the ring's choice, by cost, then by the key's order; no more of them than can be
    used. The ring's choice is among them where it holds most of the prompt itself, and then is one copy of several;
    else they have to hold more. Thousands may hold the system prompt alone: those are dropped first."""
    replicas, policy = fleet.replicas, fleet.policy
    least: float = max(1, fleet.held(home, prompt))
    if least < policy.copy_share * prompt.tokens:
        least += policy.holder_share * prompt.tokens
    found = [name for name, tokens in prompt.present.items() if tokens >= least and name in replicas]
    if not found:
        return []
    at = replicas.positions(found)
    at = at[fleet.up[at]]
    held = np.array([fleet.held(int(one), prompt) for one in at], dtype=np.float64)
    costs = (prompt.tokens - held) / replicas.rate[at] + fleet.queue_s[at]
    by_cost = np.lexsort((prompt.scores[at], costs))[: policy.retries + 1]
    return [int(one) for one in at[by_cost]]


def _spill_pays(holder: int, other: int, prompt: _PromptPlaces, fleet: _FleetLoads) -> bool:
    """Decide whether another replica answers sooner than a holder, although it computes again what the holder has."""
    again = (fleet.held(holder, prompt) - fleet.held(other, prompt)) / float(fleet.replicas.rate[other])
    dearer = (fleet.policy.recompute_price - 1) * again / (1 + prompt.waiting)
    return fleet.cost(other, prompt) + dearer < fleet.cost(holder, prompt)


def _following(chosen: int, holders: list[int], prompt: _PromptPlaces, fleet: _FleetLoads) -> Iterator[int]:
    """Yield the replicas to try after the chosen one: other holders, then those of the key's order."""
    seen = {chosen}
    for at in chain(holders, in_order(prompt.scores, fleet.up)):
        if at not in seen:
            seen.add(at)
            yield at


def _cause(chosen: int, holders: list[int], prompt: _PromptPlaces, fleet: _FleetLoads) -> MissCause | None:
    if holders:
        return None if chosen in holders else MissCause.SPILLED_FOR_LOAD
    return None if fleet.held(chosen, prompt) else MissCause.NOT_ON_REPLICA

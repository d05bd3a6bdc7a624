"""`PromptRouter`: the replica for one prompt, with the reason in words. No I/O."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from kvproxy.backends.fleet.affinity_key import SharedBeginning, affinity_key, shared_beginning
from kvproxy.backends.fleet.cache_salts import CacheSalts
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.fleet_residency import FleetResidency
from kvproxy.core import Caller, Prompt
from kvproxy.core.block_rounding import whole_blocks
from kvproxy.core.miss_causes import MissCause
from kvproxy.core.replica_choice import ReplicaChoice
from kvproxy.routing.rendezvous import routing_key
from kvproxy.routing.replica_routing import choose_replica
from kvproxy.routing.routed_prompt import RoutedPrompt, RoutingPolicy


@dataclass(frozen=True, slots=True)
class PlannedPrompt:
    """A prompt with its salt, its key and its replica."""

    salt: str
    key: str
    """The affinity key, which replicas and routers see."""
    shared: SharedBeginning
    """The beginning that other prompts share with it while it is computed."""
    choice: ReplicaChoice
    order: tuple[str, ...] = ()
    """The replicas to try after the chosen one."""
    evicted: bool = False
    """True where the chosen replica has given up the prompt's first block."""


class PromptRouter:
    """Chooses replicas by residency, load and the ring."""

    def __init__(
        self,
        replicas: FleetReplicas,
        residency: FleetResidency,
        salts: CacheSalts,
        policy: RoutingPolicy,
        fingerprint: str,
    ) -> None:
        """``fingerprint``: of the fleet's model and tokens; all proxies before the fleet have the same.

        Example: ``PromptRouter(replicas, residency, salts, RoutingPolicy(), backend.fingerprint)``
        """
        self._replicas, self._residency, self._salts = replicas, residency, salts
        self._policy, self._fingerprint = policy, fingerprint

    def ring_key(self, key: str) -> str:
        """Return the key that the ring places an affinity key by."""
        return routing_key(self._fingerprint, key)

    def plan(
        self, prompt: Prompt, caller: Caller, *, once: str | None = None, avoid: Collection[str] = ()
    ) -> PlannedPrompt:
        """Choose for one prompt. ``once``: a salt that is used for nothing else, so that nothing of it is anywhere;
        ``avoid``: replicas that have failed at it.

        Example: ``router.plan(generation.prompt, generation.caller).choice.replica``
        """
        salt = once or self._salts.of_prompt(prompt, caller)
        key = affinity_key(prompt, salt)
        ids, usable = prompt.token_ids, self._replicas.usable()
        held = {} if once else self._residency.held(ids, salt, usable)
        pending, shared = self._replicas.pending, shared_beginning(prompt, salt)
        present, waiting = pending.present(shared.key, held), pending.waiting(shared.key)
        loads, ring_key = self._replicas.loads, self.ring_key(key)
        routed = choose_replica(ring_key, len(ids), present, loads, self._policy, avoid, waiting)
        if not routed.replica:
            routed = self._last_resort(avoid)
        choice, evicted = self._choice(prompt, caller, salt, key, routed)
        return PlannedPrompt(salt, key, shared, choice, routed.order, evicted)

    def _last_resort(self, avoid: Collection[str]) -> RoutedPrompt:
        left = [name for name in self._replicas.last_resorts() if name not in avoid]
        return RoutedPrompt(left[0] if left else "", 0, MissCause.ENGINE_FAILED, tuple(left[1:]))

    def _choice(
        self, prompt: Prompt, caller: Caller, salt: str, key: str, routed: RoutedPrompt
    ) -> tuple[ReplicaChoice, bool]:
        """Return the choice in words, and whether the prompt's beginning was evicted there."""
        block = self._residency.block_of(routed.replica)
        expected = whole_blocks(min(routed.expected_tokens, max(0, len(prompt.token_ids) - 1)), block)
        cause, detail, evicted = self._explained(prompt, caller, salt, routed, expected, block)
        return ReplicaChoice(routed.replica, key, expected, block, cause, detail), evicted

    def _explained(
        self, prompt: Prompt, caller: Caller, salt: str, routed: RoutedPrompt, expected: int, block: int
    ) -> tuple[MissCause | None, str, bool]:
        """Return the cause that less is held than could be, in words too, and whether the beginning was evicted."""
        if not routed.replica:
            return MissCause.ENGINE_FAILED, "no replica is up", False
        # Of a document its own whole blocks could be there, else those of an earlier turn: nobody knows how many.
        wanted = prompt.documents[0].end if prompt.documents else min(len(prompt.token_ids) - 1, block)
        whole = min(wanted, len(prompt.token_ids) - 1) // block * block
        if expected >= whole:
            rest = wanted - expected
            detail = f"{rest} of {wanted} tokens recomputed: block {block}" if rest > 0 else ""
            return (MissCause.ROUNDED_TO_BLOCK if whole == 0 else None), detail, False
        at = self._residency.evicted_at(routed.replica, prompt.token_ids, salt, expected)
        if routed.cause is MissCause.SPILLED_FOR_LOAD:
            return routed.cause, "the replicas that hold it have too much to do", at is not None
        if at is not None:
            return MissCause.EVICTED, f"evicted at {_iso(at)}", expected == 0
        if expected == 0 and self._under_other_salt(prompt, caller, routed.replica):
            return MissCause.OTHER_SALT, "it is there under another cache salt of this caller", False
        return MissCause.NOT_ON_REPLICA, "", False

    def _under_other_salt(self, prompt: Prompt, caller: Caller, replica: str) -> bool:
        block = self._residency.block_of(replica)
        first = prompt.token_ids[: block + 1]
        others = self._salts.others(prompt, caller)
        return any(self._residency.held(first, salt, (replica,)) for salt in others)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""`RoutingPolicy` and `RoutedPrompt`: what a routing decision depends on besides loads, and its result."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core.miss_causes import MissCause


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """The constants of routing decisions. docs/decisions/0020 says why each has its value."""

    bounded_load: float = 1.25
    """The most that a replica may have to do, as a multiple of its weighted share of all work, before documents are
    pushed along their rings. At least 1."""
    recompute_price: float = 8.0
    """The price of a second that a replica computes what another one holds: more than 1, since it delays that replica's
    other requests and takes room in its cache. Readers who wait for the same document share it. In
    simulation 2 lost 5 to 8 % of the hits to copies, and 1000 made the 99th percentile of TTFT 48 to 72 % longer."""
    holder_share: float = 0.05
    """The share of the prompt that a replica has to hold beyond what the ring's choice holds, to overrule the ring: a
    system prompt that every replica has must not scatter documents."""
    copy_share: float = 0.5
    """The share of the prompt from which the ring's choice counts as a copy among others, of which the cheapest is
    taken."""
    full_batch_s: float = 0.1
    """Seconds by which a full batch of running requests delays a first token; a part of a batch, that part."""
    answer_s: float = 10.0
    """Seconds that an answer takes: how long one waits for a place where ``capacity`` requests run."""
    retries: int = 3
    """Replicas in `RoutedPrompt.order`."""


@dataclass(frozen=True, slots=True)
class RoutedPrompt:
    """The replica that a prompt goes to, and those to try after it."""

    replica: str
    """Its name; empty where no replica is up."""
    expected_tokens: int = 0
    """The prompt's leading positions that it is believed to hold."""
    cause: MissCause | None = None
    """SPILLED_FOR_LOAD where replicas that are up hold more than the chosen one, NOT_ON_REPLICA where none does and the
    chosen one holds nothing, ENGINE_FAILED where none is up; None where none holds more. Blocks, salts and evictions
    are the caller's to name."""
    order: tuple[str, ...] = ()
    """The replicas to try next, without the chosen one: holders by cost, then the ring."""

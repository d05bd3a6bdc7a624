"""`open_fleet`: a fleet's backend with all of its parts, from its settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from kvproxy.backends.fleet.cache_salts import CacheSalts
from kvproxy.backends.fleet.cold_reads import ColdReads
from kvproxy.backends.fleet.document_copies import DocumentCopies
from kvproxy.backends.fleet.fleet_answers import FleetAnswers
from kvproxy.backends.fleet.fleet_backend import FleetBackend, fleet_fingerprint
from kvproxy.backends.fleet.fleet_grammars import FleetGrammars
from kvproxy.backends.fleet.fleet_parts import FleetContext, FleetParts
from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.fleet_residency import FleetResidency
from kvproxy.backends.fleet.lmcache_pins import LmcachePins
from kvproxy.backends.fleet.prompt_router import PromptRouter
from kvproxy.backends.fleet.replica_checks import ReplicaChecks
from kvproxy.backends.fleet.replica_client import replica_session
from kvproxy.backends.fleet.replica_discovery import ReplicaDiscovery
from kvproxy.backends.fleet.replica_events import ReplicaEvents
from kvproxy.backends.fleet.replica_facts import ReplicaFacts
from kvproxy.backends.fleet.replica_probes import ReplicaProbes
from kvproxy.backends.fleet.token_names import TokenNames
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer, read_json
from kvproxy.routing.copies_wanted import CopyPolicy
from kvproxy.routing.routed_prompt import RoutingPolicy
from kvproxy.settings.fleet_settings import FleetSettings

logger = logging.getLogger(__name__)

AGAIN_S = 1.0
"""Seconds before work that has failed is begun again."""
_CONTEXT = 32_768
"""Positions that are assumed of a model whose configuration names none, until a replica tells its own."""


@asynccontextmanager
async def open_fleet(
    settings: FleetSettings,
    *,
    folder: Path,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    secret: bytes,
) -> AsyncIterator[FleetBackend]:
    """Check the replicas and open their fleet; it ends with the block.

    ``folder`` holds the tokenizer's files; ``secret`` is the host's. A replica that is down is checked when it comes
    up; a replica that is up and does not match raises SetupError, which names it and what differs.

    Example: ``async with open_fleet(settings, folder=f, tokenizer=t, template=c, secret=s) as fleet: ...``
    """
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            replica_session(connect_s=settings.connect_timeout_s, silence_s=settings.timeout_s)
        )
        grammars = FleetGrammars(folder, tokenizer.size, tokenizer.eos_ids)
        stack.callback(grammars.close)
        parts = _parts(settings, folder, tokenizer, template, secret, session, grammars)
        await stack.enter_async_context(parts.events)

        def checked(replica: FleetReplica, facts: ReplicaFacts) -> None:
            parts.residency.set_block(replica.name, facts.block_tokens)
            parts.events.follow(replica, facts)

        discovery = ReplicaDiscovery(settings, session, parts.replicas)
        probes = ReplicaProbes(parts.replicas, ReplicaChecks(settings, tokenizer, template), checked)
        discovery.add_listed()
        await discovery.refresh()
        await probes.check_all()
        _tell(settings, parts)
        await stack.enter_async_context(
            _beside(settings.name, probes.run, discovery.run, parts.copies.keep_warm)
        )
        yield FleetBackend(parts)


def _parts(
    settings: FleetSettings,
    folder: Path,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    secret: bytes,
    session: aiohttp.ClientSession,
    grammars: FleetGrammars,
) -> FleetParts:
    fingerprint = fleet_fingerprint(settings.name, tokenizer.digest, template.digest)
    replicas = FleetReplicas()
    residency = FleetResidency(settings.hash_seed)
    residency.present = replicas.__contains__
    events = ReplicaEvents(settings, residency)
    replicas.lost, replicas.left = events.lost, events.left
    salts = CacheSalts(secret, settings.name, settings.isolation)
    policy = RoutingPolicy(bounded_load=settings.bounded_load)
    router = PromptRouter(replicas, residency, salts, policy, fingerprint)
    context = FleetContext(settings, replicas, _model_context(folder))
    names = TokenNames(folder)
    answers = FleetAnswers(
        settings, replicas, residency, router, grammars, names, lambda tokens: context() - tokens
    )
    copies = _copies(settings, replicas, residency, router, session)
    cold_reads = ColdReads(replicas, router, settings.timeout_s)
    return FleetParts(
        settings,
        fingerprint,
        replicas,
        residency,
        salts,
        router,
        answers,
        copies,
        cold_reads,
        context,
        events,
    )


def _copies(
    settings: FleetSettings,
    replicas: FleetReplicas,
    residency: FleetResidency,
    router: PromptRouter,
    session: aiohttp.ClientSession,
) -> DocumentCopies:
    copies = settings.copies
    policy = CopyPolicy(copies.least, copies.most, copies.reads_per_minute)
    return DocumentCopies(
        replicas,
        residency,
        router.ring_key,
        policy,
        timeout_s=settings.timeout_s,
        lmcache=_lmcache(settings, session),
    )


def _lmcache(settings: FleetSettings, session: aiohttp.ClientSession) -> LmcachePins | None:
    if settings.lmcache is None:
        return None
    return LmcachePins(session, settings.lmcache, settings.served_as or settings.name)


def _model_context(folder: Path) -> int:
    found = read_json(folder / "config.json").get("max_position_embeddings")
    return found if isinstance(found, int) and found > 0 else _CONTEXT


def _tell(settings: FleetSettings, parts: FleetParts) -> None:
    """Log what the fleet begins with, and what its isolation means."""
    usable = parts.replicas.usable()
    if not usable:
        logger.warning("fleet '%s': no replica is up; they are tried again and again", settings.name)
    else:
        logger.info("fleet '%s': %d of %d replicas are up", settings.name, len(usable), len(parts.replicas))
    if settings.isolation == "shared":
        logger.info(
            "fleet '%s': isolation is shared: readers of a public document share its blocks and those of what follows "
            "it, so that the time of an answer can tell one tenant that another has asked the same of it",
            settings.name,
        )
    else:
        logger.info(
            "fleet '%s': isolation is strict: each tenant computes a public document once for itself, and a "
            "publication or a pin of it serves the publisher's tenant alone",
            settings.name,
        )


@asynccontextmanager
async def _beside(name: str, *work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run work beside the block, which ends it."""
    tasks = [asyncio.create_task(_going_on(name, one)) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _going_on(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run work to its end, and anew where it fails: without probes no replica would be taken back."""
    while True:
        try:
            return await work()
        except Exception:
            logger.exception("fleet '%s': work beside its requests has failed, and is begun again", name)
            await asyncio.sleep(AGAIN_S)

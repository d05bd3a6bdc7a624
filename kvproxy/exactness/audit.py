"""Checks a share of the hits that were served, while nothing else is to be computed.

What was wrong is told to the log, counted, and acted upon: pages that differ are dropped, and where they are a
published document's, it goes into quarantine. An engine that could not be shown exact is measured and not punished:
there a difference says nothing about the pages.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass

from kvproxy.backends.base import Audit, BadPage
from kvproxy.backends.embedded.audit_samples import AuditSamples, ServedHit
from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.errors import KVProxyError, Overloaded
from kvproxy.exactness.quarantine import Quarantine

logger = logging.getLogger(__name__)

IDLE_S = 0.05
"""How often is looked whether requests still run."""


REMEMBERED = 64
"""Bad pages that hits from before they were dropped may still have taken."""


@dataclass(frozen=True, slots=True)
class _Dropped:
    """A bad page, by the tokens up to its first wrong position."""

    tokens: tuple[int, ...]
    at: float

    def explains(self, hit: ServedHit) -> bool:
        """Whether the hit took what was wrong with it."""
        sequence, size = hit.sequence, len(self.tokens)
        taken = sequence.admitted_at <= self.at and sequence.cached >= size
        return taken and sequence.job.token_ids[:size] == self.tokens


@dataclass(slots=True)
class AuditCounts:
    passed: int = 0
    failed: int = 0
    """A page, a logit or a token differed."""
    dropped: int = 0
    """Chosen, but not compared: too many waited, or it could not be computed again."""


class Auditor:
    """``run`` until cancelled. Event loop only."""

    def __init__(self, samples: AuditSamples, local: EmbeddedBackend, quarantine: Quarantine) -> None:
        self._samples = samples
        self._local = local
        self._quarantine = quarantine
        self._counts = AuditCounts()
        self._dropped: deque[_Dropped] = deque(maxlen=REMEMBERED)

    @property
    def counts(self) -> AuditCounts:
        counted = self._counts
        return AuditCounts(counted.passed, counted.failed, counted.dropped + self._samples.dropped)

    async def run(self) -> None:
        """One hit after another. A failure of one is logged and costs no other."""
        while True:
            hit = await self._samples.get()
            while not self._local.idle:  # noqa: ASYNC110  the engine tells nobody that it has nothing to do
                await asyncio.sleep(IDLE_S)
            await self._one(hit)

    async def _one(self, hit: ServedHit) -> None:
        name = name_of(hit)
        try:
            audit = await self._local.audit(hit)
        except Overloaded:
            self._samples.put(hit)  # A request came; it counts as dropped where too many wait by now.
            return
        except KVProxyError as e:
            self._counts.dropped += 1
            logger.warning("%s: this hit cannot be audited: %s", name, e.message)
            return
        except Exception:
            self._counts.dropped += 1
            logger.exception("%s: the audit of this hit failed", name)
            return
        if audit.passed:
            self._counts.passed += 1
            logger.debug("%s: hit audited, exact", name)
            return
        self._counts.failed += 1
        try:
            await self._act(hit, audit)
        except Exception:
            logger.exception("%s: what was wrong with this hit could not be acted upon in full", name)

    async def _act(self, hit: ServedHit, audit: Audit) -> None:
        documents = ", ".join(str(d.document) for d in hit.generation.prompt.documents) or "no document"
        logger.error(
            "%s: this hit (%s) was not a prefill's answer: %d of %d pages differ, logits at %d of %d positions "
            "(by up to %g), tokens from the %dth of %d on",
            audit.request_id,
            documents,
            len(audit.bad_pages),
            audit.pages,
            audit.positions - audit.equal_positions,
            audit.positions,
            audit.largest_difference,
            audit.equal_tokens + 1,
            audit.tokens,
        )
        if not self._local.info.exact:
            return
        tokens, now = hit.sequence.job.token_ids, time.perf_counter()
        self._dropped.extend(_Dropped(tokens[: page.position + 1], now) for page in audit.bad_pages)
        if not audit.bad_pages and self._explained(hit):
            # The pages in their place now are others: neither they nor the engine can be judged by this hit.
            logger.error("%s: it was served before its pages were found bad and dropped", name_of(hit))
            return
        if not audit.bad_pages and not audit.missing_pages:
            # All that it took is right: then what was shown of the engine at its start does not hold.
            self._local.doubt()
            logger.error("no hit is claimed exact any more until the next start; see `kvproxy verify`")
            return
        notes = {ref: note_of(page) for ref, page in self._quarantine.owners(audit.bad_pages).items()}
        published = [d.document for d in hit.generation.prompt.documents[:1] if d.scope is not None]
        if not audit.bad_pages and published:
            # Its pages have left memory since: nobody can say any more which of them it was.
            notes[published[0]] = "a hit on it was not a prefill's answer"
        await self._quarantine.confine(notes, spare=bool(audit.bad_pages))
        if not notes:
            logger.error("%s: %d pages of no published document dropped", name_of(hit), len(audit.bad_pages))

    def _explained(self, hit: ServedHit) -> bool:
        documents = hit.generation.prompt.documents[:1]
        confined = any(
            self._quarantine.confined_since(d.document, hit.sequence.admitted_at) for d in documents
        )
        return confined or any(dropped.explains(hit) for dropped in self._dropped)


def note_of(page: BadPage) -> str:
    """For people."""
    return (
        f"page {page.index} differs from a prefill from position {page.position} on, "
        f"by up to {page.largest_difference:.6g}"
    )


def name_of(hit: ServedHit) -> str:
    return hit.generation.request_id

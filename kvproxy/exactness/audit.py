"""`Auditor`: recomputes a share of the served hits while the engine is idle.

A difference is logged, counted and acted upon: pages that differ are dropped, and the published documents that they
belong to go into quarantine. For an engine that could not be shown exact the difference is counted only: there it
says nothing about the pages.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass

from kvproxy.backends.base import Audit
from kvproxy.backends.embedded.audit_samples import AuditSamples, ServedHit
from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.errors import KVProxyError, Overloaded
from kvproxy.exactness.quarantine import Quarantine

logger = logging.getLogger(__name__)

IDLE_S = 0.05
"""Seconds between two checks whether requests still run."""


REMEMBERED = 64
"""Dropped bad pages that are remembered: hits admitted before the drop may have used them."""


@dataclass(frozen=True, slots=True)
class _Dropped:
    """A bad page, identified by the tokens up to its first wrong position."""

    tokens: tuple[int, ...]
    at: float

    def explains(self, hit: ServedHit) -> bool:
        """Return whether the hit used the wrong positions of this page."""
        sequence, size = hit.sequence, len(self.tokens)
        taken = sequence.admitted_at <= self.at and sequence.cached >= size
        return taken and sequence.job.token_ids[:size] == self.tokens


@dataclass(slots=True)
class AuditCounts:
    """The outcomes of audits since the start."""

    passed: int = 0
    failed: int = 0
    """Hits with a page, a logit or a token that differed."""
    dropped: int = 0
    """Hits chosen but not compared: too many waited, or a recomputation was not possible."""


class Auditor:
    """Audits served hits one by one: ``run`` it until it is cancelled. Event loop only.

    Example:
        ``await Auditor(samples, local, publisher.quarantine).run()``
    """

    def __init__(self, samples: AuditSamples, local: EmbeddedBackend, quarantine: Quarantine) -> None:
        self._samples = samples
        self._local = local
        self._quarantine = quarantine
        self._counts = AuditCounts()
        self._dropped: deque[_Dropped] = deque(maxlen=REMEMBERED)

    @property
    def counts(self) -> AuditCounts:
        """The outcomes so far, with the hits that were dropped before their audit."""
        counted = self._counts
        return AuditCounts(counted.passed, counted.failed, counted.dropped + self._samples.dropped)

    async def run(self) -> None:
        """Audit hits as they come. The failure of one audit is logged and does not stop the next."""
        while True:
            hit = await self._samples.get()
            while not self._local.idle:  # noqa: ASYNC110  the engine has no event for being idle
                await asyncio.sleep(IDLE_S)
            await self._one(hit)

    async def _one(self, hit: ServedHit) -> None:
        name = name_of(hit)
        try:
            audit = await self._local.audit(hit)
        except Overloaded:
            self._samples.put(hit)  # A request came. The hit counts as dropped where too many wait by now.
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
            logger.exception(
                "%s: the pages of this hit could not all be dropped; run `kvproxy verify` on its documents",
                name,
            )

    async def _act(self, hit: ServedHit, audit: Audit) -> None:
        _log_difference(hit, audit)
        if not self._local.info.exact:
            return
        tokens, now = hit.sequence.job.token_ids, time.perf_counter()
        self._dropped.extend(_Dropped(tokens[: page.position + 1], now) for page in audit.bad_pages)
        if not audit.bad_pages and self._explained(hit):
            # The pages in place now are other ones: this hit proves nothing about them or about the engine.
            logger.error(
                "%s: this hit was served before its pages were found bad and dropped; nothing is left to do",
                name_of(hit),
            )
            return
        if not audit.bad_pages and not audit.missing_pages:
            # All pages that it used are right, so the engine is not exact, against the measurement at its start.
            self._local.doubt()
            logger.error(
                "no hit is claimed exact until the next start; measure the difference with `kvproxy verify`"
            )
            return
        notes = {ref: page.note for ref, page in self._quarantine.owners(audit.bad_pages).items()}
        published = [d.document for d in hit.generation.prompt.documents[:1] if d.scope is not None]
        if not audit.bad_pages and published:
            # Its pages have left memory since, so the bad one among them cannot be named.
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


def _log_difference(hit: ServedHit, audit: Audit) -> None:
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


def name_of(hit: ServedHit) -> str:
    """Return the request id, which names the hit in the log."""
    return hit.generation.request_id

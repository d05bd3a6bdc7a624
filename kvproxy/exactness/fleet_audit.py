"""`FleetAuditor`: compares a share of a fleet's live hits with forced cold reads while the fleet is idle.

It counts agreement and logs differences, and does nothing else: a replica computes a prompt in other shapes when other
requests run beside it, so that a greedy token may differ though every cached block is right. No document of a fleet
goes into quarantine by it: see docs/decisions/0022-a-fleet-is-not-exact.md.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kvproxy.backends.base import FleetComparison, LocalBackend
from kvproxy.core import Hit
from kvproxy.documents.library.document_info import GREEDY_TOKENS
from kvproxy.errors import KVProxyError
from kvproxy.explain.miss_explainer import AskedPrompt

logger = logging.getLogger(__name__)

IDLE_S = 0.5
"""Seconds between two looks whether the fleet is idle. An audit costs a replica a whole cold prefill."""
MOST_WAITING = 16
"""Hits whose prompts are kept for their audit; of further ones the oldest is dropped: its blocks are the likeliest to
be gone."""


@dataclass(frozen=True, slots=True)
class FleetAuditCounts:
    """The outcomes of a fleet's audits since the start."""

    agree: int = 0
    """Hits with the same greedy tokens as their cold read."""
    differ: int = 0
    dropped: int = 0
    """Hits chosen and not compared: too many waited, or their blocks were gone."""


class FleetAuditor:
    """Audits one fleet's hits one by one: ``run`` it until it is cancelled. Event loop only.

    Example:
        ``auditor = FleetAuditor(fleet, "qwen", share=0.01, idle=lambda: True); noted = auditor.note``
    """

    def __init__(
        self,
        fleet: LocalBackend,
        model: str,
        *,
        share: float,
        idle: Callable[[], bool],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """``model``: the name that its requests have. ``share`` of the hits, 0 to 1, are chosen by ``draw``.
        ``idle``: whether this proxy has no request at the fleet."""
        self._fleet, self._model = fleet, model
        self._share, self._idle, self._draw = share, idle, draw
        self._waiting: deque[AskedPrompt] = deque()
        self._news = asyncio.Event()
        self._agree = self._differ = self._dropped = 0

    @property
    def counts(self) -> FleetAuditCounts:
        """The outcomes so far."""
        return FleetAuditCounts(self._agree, self._differ, self._dropped)

    def note(self, asked: AskedPrompt) -> None:
        """Choose a request that has its first token, or pass it over. Returns at once.

        Nothing is kept of a request that is to leave nothing behind.
        """
        if asked.request.model != self._model or not isinstance(asked.decision, Hit):
            return
        if not asked.caller.retains(asked.request.cache) or self._draw() >= self._share:
            return
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(asked)
        self._news.set()

    async def run(self) -> None:
        """Audit hits as they come, while the fleet is idle. The failure of one does not stop the next."""
        while True:
            await self._news.wait()
            while self._waiting:
                while not self._idle():  # noqa: ASYNC110  a fleet has no event for being idle
                    await asyncio.sleep(IDLE_S)
                await self._one(self._waiting.popleft())
            self._news.clear()

    async def _one(self, asked: AskedPrompt) -> None:
        room = self._fleet.info.room(len(asked.prompt.token_ids))
        try:
            compared = await self._fleet.compare(asked.prompt, asked.caller, max(1, min(GREEDY_TOKENS, room)))
        except KVProxyError as e:
            self._dropped += 1
            logger.debug("a hit of %s was not compared: %s", self._model, e.message)
            return
        except Exception:
            self._dropped += 1
            logger.exception("the audit of a hit of %s failed", self._model)
            return
        if not isinstance(compared, FleetComparison) or not compared.counts:
            self._dropped += 1
        elif compared.agreed:
            self._agree += 1
        else:
            self._differ += 1
            _log_difference(asked, self._model, compared)


def _log_difference(asked: AskedPrompt, model: str, compared: FleetComparison) -> None:
    documents = ", ".join(str(span.document) for span in asked.prompt.documents) or "no document"
    # From the first token on, and far: more than rounding. Somebody should look at that replica.
    level = (
        logging.ERROR if compared.equal_tokens == 0 and compared.largest_difference > 1.0 else logging.WARNING
    )
    logger.log(
        level,
        "%s: a hit (%s) at %s and its cold read have %d of %d greedy tokens in common, logprobs differ by up to %.3g; "
        "measure it with `kvproxy verify --model %s`",
        model,
        documents,
        compared.replica,
        compared.equal_tokens,
        compared.tokens,
        compared.largest_difference,
        model,
    )

"""`draft_behind`: tokens drafted behind a sequence's last known one, as far as its pages and its grammar go."""

from __future__ import annotations

import logging

from kvproxy.engine.loop.sequence import Sequence

logger = logging.getLogger(__name__)


def draft_behind(seq: Sequence, most: int, *, row_cost: float, streams: int) -> tuple[int, ...]:
    """Draft at most ``most`` tokens behind the last known one; see :meth:`Drafter.propose`.

    The draft ends before the positions without a page, and before the first token that the grammar forbids.
    Example: ``draft_behind(seq, 3, row_cost=0.01, streams=5)``
    """
    most = min(most, seq.last_position - seq.computed - 1, seq.room - seq.computed - 1)
    known_ahead = seq.computed + 1 < len(seq.tokens)
    if seq.drafter is None or most < 1 or known_ahead:
        return ()
    try:
        draft = seq.drafter.propose(seq.tokens, most, row_cost=row_cost, streams=streams)
    except Exception:
        logger.exception(
            "drafting failed for %s; it goes on without drafts, with the same answer", seq.job.id
        )
        seq.drafter = None
        return ()
    if draft and seq.job.constraint is not None:
        try:
            return draft[: seq.job.constraint.valid(draft)]
        except Exception:
            return ()  # The sampler calls its mask next, which reports the fault to this answer's client.
    return draft

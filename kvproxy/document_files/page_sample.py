"""`page_sample`: the pages of an imported prefix that are computed again before any reader may use it. Pure."""

from __future__ import annotations

import math
from random import Random


def page_sample(pages: int, share: float, random: Random) -> tuple[int, ...]:
    """Return the indices to compute again, ascending: a share of the pages, at least one of them, and always the last.

    A page is computed from the pages before it that came in the file. So a page with wrong bits is found where it is
    in the sample; and elsewhere it is found by the last one, whose bits depend on every page before it, unless all
    pages behind the wrong one were computed from it. Who does that, and owns a key that is trusted here, is found with
    the share as probability: 1.0 finds all, at the price of a prefill.

    Example:
        ``page_sample(30, 0.1, secrets.SystemRandom())``
    """
    before = pages - 1
    chosen = (
        random.sample(range(before), min(before, max(1, math.ceil(share * before)))) if before > 0 else []
    )
    return tuple(sorted([*chosen, before]))

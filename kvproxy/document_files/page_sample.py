"""`page_sample`: the pages of an imported prefix that are computed again before any reader may use it. Pure."""

from __future__ import annotations

import math
from random import Random


def page_sample(pages: int, share: float, random: Random) -> tuple[int, ...]:
    """Return the indices to compute again, ascending: a share of the pages, at least one of them, and always the last.

    A page is computed from the pages before it that came in the file, so that it costs its own positions alone. Wrong
    bits are found where their page is in the sample. Elsewhere the last page finds them, whose own bits depend on every
    layer but the last one of every page before it, unless all pages behind the wrong one were computed from it. So
    who knows a model's insides and owns a trusted key is found with the share as probability, and by the check of the
    rest, which follows; a share of 1 finds all of it before the first read, at the price of a prefill.

    Example:
        ``page_sample(30, 0.25, secrets.SystemRandom())``
    """
    before = pages - 1
    chosen = (
        random.sample(range(before), min(before, max(1, math.ceil(share * before)))) if before > 0 else []
    )
    return tuple(sorted([*chosen, before]))

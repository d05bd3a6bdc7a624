"""Effects of int8 on a reader of a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvproxy.bench.engine.driver import Rig
from kvproxy.bench.kv_size import Layout, Scales, int8_bytes, int8_round_trip
from kvproxy.core import PAGE_TOKENS
from kvproxy.core.common_prefix import common_prefix

ANSWER = 64
"""Tokens of an answer that are compared."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt whose first ``known`` tokens are the pages in question."""

    ids: tuple[int, ...]
    known: int


def int8_effect(rig: Rig, reading: Reading) -> list[dict[str, Any]]:
    """Round the pages' KV to int8 and read them: a row for one scale a head and page, and for one a channel and page.

    The pages are as they were afterwards.

    Example: ``int8_effect(rig, Reading(ids, 2560))``
    """
    shape = rig.model.page_shape
    layout = Layout(shape.layers, shape.kv_heads, shape.head_dim, shape.dtype.itemsize)
    pages = [p for p in rig.kv(reading.ids[: reading.known]) if p.used == PAGE_TOKENS]
    cold = rig.submit(reading.ids, max_tokens=ANSWER, score_from=reading.known, reuse=False, register=False)
    expected = cold.end().tokens
    plain = sum(layout.used(p).nbytes for p in pages)
    rows = []
    kinds: tuple[Scales, ...] = ("head", "channel")
    for scales in kinds:
        rig.overwrite([int8_round_trip(page, layout, scales) for page in pages])
        lossy = rig.submit(reading.ids, max_tokens=ANSWER, score_from=reading.known, register=False)
        tokens = lossy.end().tokens
        compared = rig.compare(lossy, cold, reading.known, len(reading.ids))
        rows.append(
            {
                "scale": scales,
                "ratio": round(plain / int8_bytes(pages, layout, scales), 3),
                "positions": compared.positions,
                "other_argmax": compared.positions - compared.equal_argmax,
                "largest_difference": compared.largest,
                "equal_greedy": common_prefix(tokens, expected),
                "greedy_tokens": ANSWER,
            }
        )
        rig.overwrite(pages)
    return rows

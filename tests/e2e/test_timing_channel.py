"""Time tells nothing of another tenant: a prompt that only another tenant has sent takes as long as a new one.

Each trial has a text of its own and is timed as the reader sees it, from the request to the answer of one token. A
classifier that knows the distribution of cold times must not tell "another tenant's" from "cold": the area under its
ROC curve (the Mann-Whitney statistic) is that of a coin. The same measure tells own kept prompts from cold ones at
once, which shows that it could see a leak.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Fresh
from tests.e2e.reader import Reader
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1200)]

TRIALS = 60
CHARACTERS = 2_600
"""Of a prompt: more than two pages, so that a hit is far faster than a prefill."""
COIN = 0.2
"""The largest distance of the area from 0.5: with 60 trials of each kind its standard deviation is 0.053."""


def area(slower: list[float], faster: list[float]) -> float:
    """The chance that a time of ``slower`` is above one of ``faster``, ties counted half: 0.5 where they are alike."""
    above = sum((s > f) + (s == f) / 2 for s in slower for f in faster)
    return above / (len(slower) * len(faster))


def timed(reader: Reader, messages: list[dict[str, Any]]) -> float:
    began = time.perf_counter()
    reader.ask(messages, max_tokens=1)
    return time.perf_counter() - began


def sent(reader: Reader, text: str) -> None:
    reader.ask(in_system(text, "Why?"), max_tokens=1)


def published(reader: Reader, text: str) -> None:
    reader.publish(f"private-{hash(text) & 0xFFFFFFFF:x}", text, "private")


@pytest.mark.parametrize("leave", [sent, published])
def test_what_another_tenant_has_kept_cannot_be_told_from_what_nobody_has(
    fresh: Fresh, leave: Callable[[Reader, str], None]
) -> None:
    reader, other = fresh(), fresh()
    order = ["cold", "own", "other"] * TRIALS
    random.Random(15).shuffle(order)
    times: dict[str, list[float]] = {"cold": [], "own": [], "other": []}
    for number, kind in enumerate(order):
        text = document(f"{leave.__name__} {number:04}", CHARACTERS, skip=37 * number)
        # Every trial is preceded by the same work, so that only the text's owner differs.
        leave(reader if kind == "own" else other, text if kind != "cold" else f"other {text}")
        times[kind].append(timed(reader, in_system(text, "Why?")))
    assert area(times["cold"], times["own"]) > 0.95, "the test cannot see a kept prompt"
    assert abs(area(times["cold"], times["other"]) - 0.5) < COIN

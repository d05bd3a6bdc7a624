"""Work on the engine's thread that may rest: generators that yield wherever other work may be done in between."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def run_through(steps: Generator[None, None, T]) -> T:
    """Do all of it without a rest."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result

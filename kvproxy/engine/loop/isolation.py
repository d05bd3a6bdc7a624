"""Keeps one sequence's failure its own: the others lose neither their place nor a bit of their answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from kvproxy.engine.loop.sequence import Sequence
from kvproxy.errors import KVProxyError

logger = logging.getLogger(__name__)


class TileFailed(Exception):
    """A tile was not computed. ``sequences`` are those that cannot go on; every other one, even with rows in the tile,
    has its pages and ``computed`` as they were before, and its rows are computed in a later tile."""

    def __init__(self, sequences: Iterable[Sequence]) -> None:
        super().__init__("a tile failed")
        self.sequences = tuple(sequences)


@contextmanager
def isolated(sequence: Sequence, end: Callable[[Sequence, KVProxyError], None]) -> Iterator[None]:
    """End ``sequence``, and it alone, with what the block raises. Errors without a meaning outside are logged."""
    try:
        yield
    except KVProxyError as e:
        end(sequence, e)
    except Exception:
        logger.exception("%s failed in the engine and ends; the others go on", sequence.job.id)
        end(sequence, engine_failure())


def engine_failure() -> KVProxyError:
    return KVProxyError("the engine failed on this request; its log has the cause")

"""Isolation of failures: an exception in one sequence ends that sequence alone, and changes no bit of the others."""

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
    """End ``sequence``, and it alone, with the exception that the block raises: see :func:`last_error`.

    Example: ``with isolated(seq, engine_end): admission.try_admit(seq, running)``
    """
    try:
        yield
    except Exception as e:
        end(sequence, last_error(sequence, e))


def last_error(sequence: Sequence, error: Exception) -> KVProxyError:
    """Return the error that ends ``sequence`` towards its client. Exceptions without a meaning for clients are
    logged and replaced."""
    if isinstance(error, KVProxyError):
        return error
    logger.error("%s failed in the engine and ends; other requests go on", sequence.job.id, exc_info=error)
    return engine_failure()


def engine_failure() -> KVProxyError:
    """Return the error for a failure inside the engine."""
    return KVProxyError("the engine failed on this request; its log has the cause")

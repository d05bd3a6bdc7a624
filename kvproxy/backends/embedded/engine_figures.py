"""`EngineFigures`: counts and health of the embedded engine at one moment, for metrics, health checks and readiness."""

from __future__ import annotations

from kvproxy.engine.cache.occupancy import Occupancy
from kvproxy.engine.cache.write_health import WriteHealth
from kvproxy.engine.decode.speculation import DraftCounts
from kvproxy.engine.loop.engine import Engine


class EngineFigures:
    """The side of the embedded backend that only reads numbers. Any thread; nothing waits for the engine."""

    def __init__(self, engine: Engine) -> None:
        """Read the figures of ``engine``."""
        self._engine = engine

    @property
    def preemptions(self) -> int:
        """The number of times that a sequence gave its place and pages back, to an older one or to another tenant's,
        and was computed again."""
        return self._engine.preemptions

    @property
    def drafts(self) -> DraftCounts:
        """Counts of drafted and accepted tokens so far."""
        return self._engine.drafts

    @property
    def idle(self) -> bool:
        """Whether no request runs or waits."""
        return self._engine.load == (0, 0)

    @property
    def write_health(self) -> tuple[WriteHealth, WriteHealth | None]:
        """Whether the disk takes pages: those of documents, and those that are spilled, where they are."""
        spill = self._engine.spill
        return self._engine.writer.health, None if spill is None else spill.health

    @property
    def load(self) -> tuple[int, int]:
        """Requests that run, and that wait."""
        return self._engine.load

    def occupancy(self) -> Occupancy:
        """Return the use of the page budget at this moment."""
        return self._engine.cache.occupancy()

    @property
    def full(self) -> bool:
        """Whether a request of a tenant that has its share would be told to come back later."""
        return self._engine.full

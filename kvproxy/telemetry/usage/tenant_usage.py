"""`TenantUsage`: the figures of one tenant in memory: what is recorded, what is not yet, the last hours, the misses."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from kvproxy.telemetry.usage.ended_request import EndedRequest
from kvproxy.telemetry.usage.usage_overview import MissEntry, UsageOverview
from kvproxy.telemetry.usage.usage_series import UsageSeries
from kvproxy.telemetry.usage.usage_store import DAY_S, RecordedUsage, UsageKey
from kvproxy.telemetry.usage.usage_sums import NO_USAGE, UsageSums, UsageTally, added

MOST_MISSES = 200
"""The newest misses of a tenant that are kept."""


class TenantUsage:
    """Figures of one tenant, or of all together. Event loop only."""

    __slots__ = ("_misses", "_name", "_series", "_unwritten", "_writing", "read_at", "recorded")

    def __init__(self, name: str) -> None:
        self._name = name
        self.recorded: RecordedUsage | None = None
        """None until it has been read."""
        self.read_at = -math.inf
        """Seconds of the clock at which it was read."""
        self._unwritten: dict[UsageKey, UsageTally] = {}
        self._writing: Mapping[UsageKey, UsageSums] = {}
        self._series = UsageSeries()
        self._misses: deque[MissEntry] = deque(maxlen=MOST_MISSES)

    def count(self, ended: EndedRequest, miss: MissEntry | None) -> None:
        """Add a request, and its entry where it missed. O(1)."""
        key = UsageKey(self._name, int(ended.at // DAY_S), ended.model, ended.currency)
        tally = self._unwritten.get(key)
        if tally is None:
            tally = self._unwritten[key] = UsageTally()
        tally.count(ended)
        self._series.count(ended)
        if miss is not None:
            self._misses.append(miss)

    def overview(self, now: float, *, series: bool = True) -> UsageOverview:
        """Return the figures as they are at ``now``, with the points of the series or without.

        Example: ``usage.overview(time.time(), series=False).today``
        """
        day, recorded = int(now // DAY_S), self.recorded or RecordedUsage(0)
        fresh = [(key.day, tally.sums()) for key, tally in self._unwritten.items()]
        fresh += [(key.day, sums) for key, sums in self._writing.items()]
        before = recorded.today if recorded.day == day else NO_USAGE
        hits, misses = self._series.ttft(now)
        return UsageOverview(
            today=added([before, *(sums for at, sums in fresh if at == day)]),
            total=added([recorded.total, *(sums for _, sums in fresh)]),
            series=self._series.points(now) if series else (),
            hit_ttft=hits,
            miss_ttft=misses,
        )

    def misses(self, most: int, cause: str | None = None) -> list[MissEntry]:
        """Return the newest misses, of one cause where one is named; newest first."""
        found = (entry for entry in reversed(self._misses) if cause is None or entry.cause == cause)
        return [entry for entry, _ in zip(found, range(most), strict=False)]

    def take(self) -> Mapping[UsageKey, UsageSums]:
        """Return the sums that are not recorded, which are being written from now on."""
        self._writing = {key: tally.sums() for key, tally in self._unwritten.items()}
        self._unwritten = {}
        return self._writing

    def leave(self) -> Mapping[UsageKey, UsageSums]:
        """Return the sums that are neither recorded nor being written, and keep them no longer."""
        left, self._unwritten = self._unwritten, {}
        return {key: tally.sums() for key, tally in left.items()}

    def written(self) -> None:
        """Note that what was taken is recorded."""
        written, self._writing = self._writing, {}
        if (before := self.recorded) is not None:
            today = (sums for key, sums in written.items() if key.day == before.day)
            self.recorded = RecordedUsage(
                before.day, added([before.today, *today]), added([before.total, *written.values()])
            )

    def give_back(self) -> None:
        """Keep what was taken for the next time: it could not be written."""
        for key, sums in self._writing.items():
            self._unwritten.setdefault(key, UsageTally()).add(sums)
        self._writing = {}

"""`TariffHistory`: all tariffs ever recorded, which was valid when, and which change may be added. Pure."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from kvproxy.errors import SetupError
from kvproxy.tariffs.model_tariff import Tariff
from kvproxy.tariffs.tariff_file import TariffEntry, TariffFile, format_time


def now_in_ms() -> int:
    """Return the time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class TariffRecord:
    """A tariff that becomes valid, or one that was withdrawn before it did."""

    tariff: Tariff
    action: Literal["valid", "withdrawn"]
    written: str
    """The digest of the entry of a tariff file; empty for a tariff of no file."""
    recorded_ms: int


@dataclass(frozen=True)
class TariffHistory:
    """Records in their order. At any moment the tariff that began last is valid."""

    records: tuple[TariffRecord, ...] = ()

    @cached_property
    def _schedule(self) -> Mapping[int, TariffRecord]:
        """Tariffs by the beginning of their validity, ascending."""
        found: dict[int, TariffRecord] = {}
        for record in self.records:
            found.pop(record.tariff.valid_from_ms, None)
            if record.action == "valid":
                found[record.tariff.valid_from_ms] = record
        return dict(sorted(found.items()))

    @cached_property
    def _beginnings(self) -> Sequence[int]:
        return list(self._schedule)

    @cached_property
    def _by_id(self) -> Mapping[str, Tariff]:
        return {record.tariff.id: record.tariff for record in self.records}

    @property
    def schedule(self) -> tuple[TariffRecord, ...]:
        """Tariffs that were, are or will be valid, by the beginning of their validity."""
        return tuple(self._schedule.values())

    def record_at(self, ms: int) -> TariffRecord | None:
        """Return the record of the tariff that is valid at ``ms``; None before the first one."""
        place = bisect_right(self._beginnings, ms)
        return self._schedule[self._beginnings[place - 1]] if place else None

    def at(self, ms: int) -> Tariff | None:
        """Return the tariff that is valid at ``ms``; None before the first one."""
        found = self.record_at(ms)
        return None if found is None else found.tariff

    def by_id(self, tariff_id: str) -> Tariff | None:
        """Return a tariff that was recorded at any time; None for an unknown id."""
        return self._by_id.get(tariff_id)

    def beginning_at(self, ms: int) -> TariffRecord | None:
        """Return the record of the tariff whose validity begins at ``ms`` exactly."""
        return self._schedule.get(ms)

    def added(self, records: Iterable[TariffRecord]) -> TariffHistory:
        """Return this history with more records behind it."""
        return TariffHistory((*self.records, *records))


def plan_record(history: TariffHistory, tariff: Tariff, now_ms: int, written: str = "") -> list[TariffRecord]:
    """Return the records that make ``tariff`` valid from its beginning on: one, or none where it is known.

    Raises SetupError for one that would begin in the past of a history, and for another currency.

    Example:
        ``plan_record(history, tariff, now_in_ms())``
    """
    _same_currency(history, tariff)
    known = history.beginning_at(tariff.valid_from_ms)
    if known is not None and known.tariff.id == tariff.id:
        return []
    if tariff.valid_from_ms < now_ms and history.at(now_ms) is not None:
        when = format_time(tariff.valid_from_ms)
        found = "another tariff is recorded for it" if known else "others were valid since"
        raise SetupError(
            f"the tariff of {when} begins in the past, and {found}: reads were charged by them, and no change "
            f"rewrites that. Leave what has begun as it was, and add an entry with valid_from: "
            f"{format_time(now_ms + 60_000)} or later"
        )
    return [TariffRecord(tariff, "valid", written, now_ms)]


def plan_file(history: TariffHistory, file: TariffFile, now_ms: int) -> list[TariffRecord]:
    """Return the records that bring a history to what ``file`` says: new entries, and withdrawals of those that have
    not begun and are no longer in it. An entry that is as it was, while litellm's prices of upstreams have changed,
    counts from now on.

    Raises SetupError where an entry that has begun was changed, or is missing while it is valid.

    Example:
        ``plan_file(history, read_tariff_file(path), now_in_ms())``
    """
    planned: list[TariffRecord] = []
    for entry in file.entries:
        planned += _plan_entry(history.added(planned), entry, now_ms)
    stated = {entry.tariff.valid_from_ms for entry in file.entries}
    for record in history.schedule:
        if record.tariff.valid_from_ms > now_ms and record.tariff.valid_from_ms not in stated:
            planned.append(replace(record, action="withdrawn", recorded_ms=now_ms))
    planned += _plan_current(history.added(planned), file, now_ms)
    return planned


def _plan_entry(history: TariffHistory, entry: TariffEntry, now_ms: int) -> list[TariffRecord]:
    begun = entry.tariff.valid_from_ms < now_ms
    if begun and any(record.written == entry.written for record in history.records):
        return []  # as it was: see _plan_current
    return plan_record(history, entry.tariff, now_ms, entry.written)


def _plan_current(history: TariffHistory, file: TariffFile, now_ms: int) -> list[TariffRecord]:
    """Compare what is valid now with the file's entry for now."""
    found = history.record_at(now_ms)
    begun = [entry for entry in file.entries if entry.tariff.valid_from_ms <= now_ms]
    if found is None or (found.written == "" and not begun):
        return []
    if not begun or (begun[-1].written != found.written and begun[-1].tariff.id != found.tariff.id):
        raise SetupError(
            f"{file.path}: the tariff that is valid now, of {format_time(found.tariff.valid_from_ms)}, is not in the "
            "file. Put it back, and add an entry with the new prices and valid_from: "
            f"{format_time(now_ms + 60_000)} or later"
        )
    entry = begun[-1].tariff
    now_valid = Tariff.of(entry.currency, now_ms, entry.models, entry.default, entry.documents)
    if replace(now_valid, id="", valid_from_ms=0) == replace(found.tariff, id="", valid_from_ms=0):
        return []
    return [TariffRecord(now_valid, "valid", begun[-1].written, now_ms)]


def _same_currency(history: TariffHistory, tariff: Tariff) -> None:
    for record in history.records[:1]:
        if record.tariff.currency != tariff.currency:
            raise SetupError(
                f"the tariff is in {tariff.currency}, and what is recorded in {record.tariff.currency}: balances "
                "cannot change their currency; take another database for it"
            )

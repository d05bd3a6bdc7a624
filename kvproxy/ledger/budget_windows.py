"""Windows of budgets: the minute, day and month of a time, and what a subject has used in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from kvproxy.core.money import format_nano
from kvproxy.errors import QuotaExceeded
from kvproxy.ledger.bookings import Booking, Period, SpendingLimit

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000


class BudgetWindow(NamedTuple):
    """One subject's period with a beginning."""

    subject: str
    period: Period
    start_ms: int


@dataclass(frozen=True, slots=True)
class Used:
    """An amount of tokens, money and requests."""

    tokens: int = 0
    nano: int = 0
    requests: int = 0

    def __add__(self, other: Used) -> Used:
        return Used(self.tokens + other.tokens, self.nano + other.nano, self.requests + other.requests)

    def __sub__(self, other: Used) -> Used:
        return Used(self.tokens - other.tokens, self.nano - other.nano, self.requests - other.requests)


NOTHING = Used()


def start_of(period: Period, at_ms: int) -> int:
    """Return the beginning of the period that ``at_ms`` lies in, in UTC."""
    if period == "minute":
        return at_ms - at_ms % _MINUTE_MS
    if period == "day":
        return at_ms - at_ms % _DAY_MS
    day = datetime.fromtimestamp(at_ms // 1000, UTC)
    return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000


def end_of(period: Period, start_ms: int) -> int:
    """Return the end of the period that begins at ``start_ms``."""
    if period == "minute":
        return start_ms + _MINUTE_MS
    if period == "day":
        return start_ms + _DAY_MS
    return start_of("month", start_ms + 32 * _DAY_MS)


def window_of(limit: SpendingLimit, at_ms: int) -> BudgetWindow:
    """Return the window of a limit that ``at_ms`` lies in."""
    return BudgetWindow(limit.subject, limit.period, start_of(limit.period, at_ms))


def windows_of(booking: Booking) -> tuple[BudgetWindow, ...]:
    """Return all windows that a booking counts in: those of its tenant, and of its key where it has one."""
    subjects = [f"tenant:{booking.tenant}", *([f"key:{booking.key}"] if booking.key else ())]
    periods: tuple[Period, ...] = ("minute", "day", "month")
    starts = [(period, start_of(period, booking.at_ms)) for period in periods]
    return tuple(BudgetWindow(subject, period, start) for subject in subjects for period, start in starts)


def used_by(booking: Booking) -> Used:
    """Return a booking's part of its windows."""
    metered = booking.metered
    return Used(metered.prompt_tokens + metered.completion_tokens, booking.charge.cost, 1)


@dataclass(slots=True)
class WindowUse:
    """The use of one window as this process knows it."""

    booked: Used
    """As in the database when it was read last, with what this process booked since."""
    unbooked: Used = NOTHING
    held: Used = NOTHING

    @property
    def total(self) -> Used:
        """Everything that counts, running requests at their most included."""
        return self.booked + self.unbooked + self.held


@dataclass(slots=True)
class BudgetBook:
    """The windows that this process has to know. Not thread-safe: its owner locks."""

    uses: dict[BudgetWindow, WindowUse] = field(default_factory=dict)
    read_ms: int = 0
    """The time at which all of ``uses`` were last read from the database: a window that began later was empty then,
    and what other processes book in it is read at the next time."""

    def unknown(self, limits: tuple[SpendingLimit, ...], at_ms: int) -> list[BudgetWindow]:
        """Return the windows that have to be read from the database before ``limits`` can be judged."""
        missing = []
        for limit in limits:
            window = window_of(limit, at_ms)
            if window in self.uses:
                continue
            if 0 < self.read_ms <= window.start_ms:
                self.uses[window] = WindowUse(NOTHING)
            else:
                missing.append(window)
        return missing

    def check(self, limits: tuple[SpendingLimit, ...], most: Used, now_ms: int) -> None:
        """Raise QuotaExceeded when a request that uses at ``most`` so much would pass one of ``limits``.

        Example:
            ``book.check(budgets, Used(tokens=4000, nano=2_000_000, requests=1), now_ms)``
        """
        for limit in limits:
            window = window_of(limit, now_ms)
            total = self.uses[window].total + most
            for name, allowed, would in (
                ("tokens", limit.tokens, total.tokens),
                ("money", limit.nano, total.nano),
                ("requests", limit.requests, total.requests),
            ):
                if allowed is not None and would > allowed:
                    raise _exceeded(limit, name, used=self.uses[window].total, most=most, now_ms=now_ms)

    def hold(self, windows: tuple[BudgetWindow, ...], most: Used) -> None:
        """Count a running request at its most; the negative of it when it ends."""
        for window in windows:
            use = self.uses.setdefault(window, WindowUse(NOTHING))
            use.held += most

    def settle(self, booking: Booking) -> tuple[BudgetWindow, ...]:
        """Count a settled request in its windows that are watched, which are returned."""
        windows = tuple(window for window in windows_of(booking) if window in self.uses) if self.uses else ()
        for window in windows:
            self.uses[window].unbooked += used_by(booking)
        return windows

    def booked(self, counted: Mapping[BudgetWindow, Used], first: Mapping[BudgetWindow, Used]) -> None:
        """Note what is in the database now: ``counted`` as :meth:`settle` had it, ``first`` in all windows.

        The two differ by windows that are watched only since, and by requests that had been booked before.

        Example:
            ``book.booked({window: used}, {window: used})``
        """
        for window, used in counted.items():
            if (use := self.uses.get(window)) is not None:
                use.unbooked -= used
        for window, used in first.items():
            if (use := self.uses.get(window)) is not None:
                use.booked += used

    def forget_ended(self, now_ms: int) -> None:
        """Drop the windows that have ended and that no running or unbooked request counts in."""
        for window, use in list(self.uses.items()):
            ended = end_of(window.period, window.start_ms) <= now_ms
            if ended and use.held == NOTHING and use.unbooked == NOTHING:
                del self.uses[window]


def _exceeded(limit: SpendingLimit, name: str, *, used: Used, most: Used, now_ms: int) -> QuotaExceeded:
    end_ms = end_of(limit.period, start_of(limit.period, now_ms))
    kind, _, who = limit.subject.partition(":")
    has, would, allowed = {
        "tokens": (f"{used.tokens:,} tokens", f"{most.tokens:,}", f"{limit.tokens or 0:,}"),
        "money": (format_nano(used.nano), format_nano(most.nano), format_nano(limit.nano or 0)),
        "requests": (f"{used.requests:,} requests", "1", f"{limit.requests or 0:,}"),
    }[name]
    reset = datetime.fromtimestamp(end_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return QuotaExceeded(
        f"You exceeded your current quota: {kind} {who} may use {allowed} {name} a {limit.period}, has used or holds "
        f"{has}, and this request may need {would}. The {limit.period} ends at {reset}; wait until then, lower "
        f"max_tokens, or ask the operator for a larger budget.",
        retry_after_s=max(1, -(-(end_ms - now_ms) // 1000)),
    )

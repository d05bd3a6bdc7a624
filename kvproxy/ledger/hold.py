"""`Hold`: money and budget set aside for one running request, until it is settled or released."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from kvproxy.ledger.bookings import Booking, HoldRequest
from kvproxy.ledger.budget_windows import BudgetWindow


class HoldKeeper(Protocol):
    """The ledger, as a hold sees it."""

    def settle_hold(self, hold: Hold, booking: Booking) -> None:
        """Journal what the request used, and free the rest."""

    def release_hold(self, hold: Hold) -> None:
        """Free everything."""


class Hold:
    """Money and budget of one running request. Ends once, by :meth:`settle` or :meth:`release`; later calls do nothing.

    Example:
        ``with await ledger.hold(request) as hold: ...; hold.settle(booking)``
    """

    __slots__ = ("_ended", "_keeper", "request", "reserved", "windows")

    def __init__(
        self, keeper: HoldKeeper, request: HoldRequest, windows: tuple[BudgetWindow, ...], reserved: bool
    ) -> None:
        """Made by the ledger. ``reserved``: the journal keeps room for the record.

        Example:
            ``Hold(clerk, request, windows_held(request, now_ms), reserved=True)``
        """
        self.request = request
        self.windows = windows
        self.reserved = reserved
        self._keeper = keeper
        self._ended = False

    @property
    def ended(self) -> bool:
        """True once it was settled or released."""
        return self._ended

    def settle(self, booking: Booking) -> None:
        """Charge what the request used, and free the rest: at once, whatever becomes of this process or the database.

        Call it before the final event is sent. It writes to the journal, takes microseconds, and waits for no SQL.
        Raises ValueError, and keeps the hold, for a charge above what is held or of another request.
        """
        if not self._ended:
            self._keeper.settle_hold(self, booking)
            self._ended = True

    def release(self) -> None:
        """Charge nothing, and free everything."""
        if not self._ended:
            self._ended = True
            self._keeper.release_hold(self)

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

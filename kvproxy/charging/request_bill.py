"""`Bill`: all that one client request runs up, over its prompts and choices, and the one booking that ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from kvproxy.charging.charge_requests import (
    ChargePreview,
    Charging,
    NoCharge,
    Offer,
    OpenCharge,
    Order,
    OrderedPrompt,
    Settled,
)
from kvproxy.charging.meter_tokens import meter_prompt, meter_upstream, possible_usage, sum_metered
from kvproxy.core import Caller, Charge, DocumentRef, MeteredTokens, Prompt, Span
from kvproxy.core.prefill_progress import PrefillProgress
from kvproxy.events import Started, Usage

BillOutcome = Literal["complete", "left", "failed", "refused"]
"""``refused``: before any work, for want of money or quota. ``failed``: an error was the answer; it costs nothing."""

CountBill = Callable[[BillOutcome, MeteredTokens | None, Charge | None], None]


@dataclass(slots=True)
class BillLine:
    """One prompt with all of its choices."""

    prompt_tokens: int
    spans: tuple[Span, ...] = ()
    progress: PrefillProgress = field(default_factory=PrefillProgress)
    upstream: bool = False
    """True where an upstream answers: its own report counts, and no document's pages are used."""
    cached: int | None = None
    """Known once the answer has begun."""
    confirmed: bool = True
    """False where ``cached``, and the cached positions of ``progress``, are what a fleet's proxy expects: no document's
    read is booked by them."""
    most_new: int | None = None
    """Tokens that all answers may have together; None: unknown."""
    generated: Callable[[], int] = int
    """Returns the tokens generated so far, of all choices."""
    reported: Callable[[], int | None] = lambda: None
    """Returns the cached tokens that a fleet's replica has reported with the first choice; None before."""
    usage: Usage | None = None
    """That of all choices, once they have ended."""

    def begin(
        self,
        started: Started,
        generated: Callable[[], int],
        reported: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Note that the prompt is computed and that every choice has its first token.

        Example: ``line.begin(started, lambda: meter.generated, lambda: meter.reported)``
        """
        self.upstream = started.parsed
        self.cached = started.cached_tokens
        self.confirmed = started.confirmed
        self.generated = generated
        self.reported = reported

    def end(self, usage: Usage) -> Usage:
        """Note the usage of all choices, which have ended, within what was sent; return it."""
        self.usage = usage if self.upstream else self._possible(usage)
        return self.usage

    def metered(self, model: str, terms: Mapping[DocumentRef, str]) -> MeteredTokens:
        """Return what was computed so far: nothing before the first position."""
        usage = self.used()
        if self.upstream:
            return meter_upstream(model, usage)
        return meter_prompt(model, self.spans, usage, terms)

    def used(self) -> Usage:
        """Return the usage of all choices, as far as they have come."""
        return self.usage or self._so_far()

    def _so_far(self) -> Usage:
        if self.cached is None:
            cached, reached = self.progress.cached, min(self.progress.reached, self.prompt_tokens)
            if (
                reached <= cached
            ):  # pages that were found, and behind which nothing was computed, cost nothing
                return Usage(0, 0, 0)
            usage = Usage(reached, 0, cached)
        else:
            usage = Usage(self.prompt_tokens, self.generated(), self.cached)
        if self.confirmed:
            return usage
        if (told := self.reported()) is not None:
            return self._possible(replace(usage, cached_tokens=told))
        # The replica has not told yet what it took from its cache. The reader pays neither the full price for positions
        # that may have been cached, nor their publisher for a read that nobody has reported.
        expected = min(max(usage.cached_tokens, 0), usage.prompt_tokens)
        return Usage(usage.prompt_tokens - expected, usage.completion_tokens, 0)

    def _possible(self, usage: Usage) -> Usage:
        return possible_usage(usage, self.prompt_tokens, self.most_new)


class Bill:
    """The charge of one client request. Event loop only; opened once, and closed once: settled, left or released.

    Example:
        ``bill = Bill(charging, caller, "chatcmpl-1", Offer()); await bill.open("qwen3-4b", [OrderedPrompt(512, 64)])``
    """

    def __init__(
        self,
        charging: Charging,
        caller: Caller,
        request_id: str,
        offer: Offer,
        count: CountBill | None = None,
    ) -> None:
        """``request_id``: the key of the booking, unique for ever. ``count`` is called once, when the bill is closed.

        Example: ``Bill(NoCharging(), caller, "chatcmpl-1", Offer())``
        """
        self.request_id = request_id
        self._charging = charging
        self._caller = caller
        self._offer = offer
        self._count = count
        self._model = ""
        self._charge: OpenCharge = NoCharge()
        self._open = False
        self._lines: list[BillLine] = []
        self._composed: dict[str, Prompt] = {}
        self.settled: Settled | None = None
        """Set once it is closed by a booking."""
        self.metered: MeteredTokens | None = None
        """Set once it is closed; None for a request that failed or was refused."""

    @property
    def preview(self) -> ChargePreview | None:
        """The amounts known before the work; None where nothing is priced."""
        return self._charge.preview

    @property
    def lines(self) -> Sequence[BillLine]:
        """The lines that were begun, one for each prompt."""
        return self._lines

    async def open(self, model: str, prompts: Sequence[OrderedPrompt]) -> None:
        """Hold the most that the request may cost; nothing where that was done already. Raises as ``Charging.open``.

        Example: ``await bill.open("qwen3-4b", [OrderedPrompt(512, 64, prompt.documents, choices=2)])``
        """
        if self._open:
            return
        self._model = model
        order = Order(self.request_id, self._caller, model, tuple(prompts), self._offer)
        opening = asyncio.ensure_future(self._charging.open(order))
        try:
            # The hold may be granted while this request is cancelled: nobody else would free it.
            self._charge = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_release_late)
            raise
        except Exception:
            self._close("refused", None, None)
            raise
        self._open = True

    def compose(self, id: str, prompt: Prompt) -> None:
        """Keep a prompt that was composed to open the bill; ``id`` is that of its part of the request."""
        self._composed[id] = prompt

    def composed(self, id: str) -> Prompt | None:
        """Return the prompt of a part, which is not kept any longer; None where it was not composed yet."""
        return self._composed.pop(id, None)

    def line(
        self,
        prompt_tokens: int,
        spans: tuple[Span, ...] = (),
        *,
        upstream: bool = False,
        confirmed: bool = True,
        most_new: int | None = None,
    ) -> BillLine:
        """Begin a line for one prompt. ``confirmed``: False where only the final usage tells cached tokens.
        ``most_new``: tokens that all of its answers may have.

        Example: ``line = bill.line(3800, prompt.documents)``
        """
        line = BillLine(prompt_tokens, spans, upstream=upstream, confirmed=confirmed, most_new=most_new)
        self._lines.append(line)
        return line

    def learn(self, tokens: int, seconds: float) -> None:
        """Tell the speed of a prefill, which seconds saved are estimated from."""
        self._charging.prefilled(self._model, tokens, seconds)

    def settle(self) -> Settled:
        """Book all lines, which have ended. Returns when the booking is journalled."""
        if self.settled is None:
            metered = self._metered()
            self.settled = self._charge.settle(metered)
            self._close("complete", metered, self.settled.charge)
        return self.settled

    def told(self, usage: Usage) -> Usage:
        """Settle, and return ``usage`` with the charge and the receipt that its answer carries."""
        settled = self.settle()
        return replace(usage, charge=settled.charge, receipts=settled.receipts)

    def leave(self) -> None:
        """Book what was computed for a client that has left; nothing where it was settled already."""
        if self.settled is not None or not self._open:
            return self.release()
        metered = self._metered()
        if metered.prompt_tokens == 0 and metered.completion_tokens == 0:
            return self.release()
        self.settled = self._charge.left(metered)
        return self._close("left", metered, self.settled.charge)

    def release(self) -> None:
        """Free the hold; nothing where it was settled already."""
        self._charge.release()
        if self._open and self.settled is None:
            self._close("failed", None, None)

    async def paid(self) -> Mapping[str, str]:
        """Finish the payment of a settled bill; return the headers of its receipt."""
        return await self._charge.paid()

    def _metered(self) -> MeteredTokens:
        terms = self._charge.terms
        return sum_metered(self._model, (line.metered(self._model, terms) for line in self._lines))

    def _close(self, outcome: BillOutcome, metered: MeteredTokens | None, charge: Charge | None) -> None:
        count, self._count, self.metered = self._count, None, metered
        if count is not None:
            count(outcome, metered, charge)


def _release_late(opening: asyncio.Future[OpenCharge]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().release()

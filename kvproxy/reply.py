"""`Reply`: the started generations of one request, after their first tokens."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from kvproxy.charging.request_bill import Bill, BillLine
from kvproxy.core import Decision, Prompt
from kvproxy.documents.matching import confirm
from kvproxy.events import Event, Started
from kvproxy.telemetry.reply_meter import Meter
from kvproxy.telemetry.request_timer import Timings


@dataclass(frozen=True, slots=True)
class Reply:
    """The started generations of one request, one for each choice, after their first tokens.

    ``choices`` hold engine rows and pages until they end or are closed: the caller must close the Reply.
    """

    decided: Decision
    """The decision as it stood at the first token."""
    started: Started
    choices: tuple[AsyncGenerator[Event, None], ...]
    """The events after Started, one generator for each of the request's ``n``."""
    parsed: tuple[bool, ...]
    """``Started.parsed`` of each choice: engine and upstreams may share the choices of one miss."""
    exact: bool
    """True when the engine has shown at its start that kept pages give the bits of a prefill."""
    timings: Timings
    prompt: Prompt
    ttft_s: float
    """Seconds from the request's arrival to the first token of every choice."""
    meter: Meter
    """Counts the engine's events, and adds them to the metrics when the reply is closed."""
    bill: Bill
    """The open charge of the client's request; whoever sends the answer closes it."""
    line: BillLine
    """The line of this prompt; its usage is set by whoever reads the events to their end."""

    @property
    def decision(self) -> Decision:
        """The final decision: a lost hit is the miss that it became, with its cause as soon as that is known. Of a
        fleet, what follows from the tokens that are expected of the replica that answers, and once it has reported its
        cached ones, from those."""
        found, usage = self.timings.decision or self.decided, self.line.usage
        if self.started.confirmed:
            return found
        cached: int | None = self.started.cached_tokens
        if usage is not None:
            cached = usage.cached_tokens if usage.reported else None
        return confirm(self.prompt, found, self.started.choice, cached)

    @property
    def confirmed(self) -> Started:
        """The first event, with the counts of the final usage where a fleet's replica tells them no earlier."""
        usage = self.line.usage
        if self.started.confirmed or usage is None:
            return self.started
        return replace(
            self.started,
            cached_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            confirmed=True,
        )

    async def aclose(self) -> None:
        """Close every choice and the meter. Idempotent; a choice that has ended is closed already."""
        usage = self.line.usage
        if usage is not None and usage.reported and not (self.started.confirmed or self.meter.closed):
            if self.started.timed:  # else the seconds that readers save would be those of a queue
                self.bill.learn(len(self.prompt.token_ids) - usage.cached_tokens, self.started.prefill_s)
        self.meter.close()
        for choice in self.choices:
            await choice.aclose()

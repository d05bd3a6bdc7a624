"""`Reply`: the started generations of one request, after their first tokens."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from kvproxy.charging.request_bill import Bill, BillLine
from kvproxy.core import Decision, Prompt
from kvproxy.events import Event, Started
from kvproxy.telemetry.metrics import Meter
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
        """The final decision: a lost hit is the miss that it became, with its cause as soon as that is known."""
        return self.timings.decision or self.decided

    async def aclose(self) -> None:
        """Close every choice and the meter. Idempotent; a choice that has ended is closed already."""
        self.meter.close()
        for choice in self.choices:
            await choice.aclose()

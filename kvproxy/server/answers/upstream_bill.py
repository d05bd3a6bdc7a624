"""The bill of an upstream's answer: held by what the body may cost at most, metered by the upstream's own report."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from aiohttp import web

from kvproxy.backends.base import Endpoint
from kvproxy.charging.charge_requests import OrderedPrompt
from kvproxy.charging.request_bill import Bill
from kvproxy.core import Charge
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.server.components import COMPONENTS, TRACE, UPSTREAM_COUNTS
from kvproxy.server.requests.read_request import Incoming
from kvproxy.wire.answers.cost_bodies import answer_cost
from kvproxy.wire.upstream_usage import RawUsage, UpstreamCounts

MOST_NEW = 4096
"""Tokens that are held for an answer without a bound of its own."""

_BOUNDS = ("max_completion_tokens", "max_output_tokens", "max_tokens")


def booking_id() -> str:
    """Return the key of an upstream answer's booking: its own id is the upstream's, and may come twice."""
    return f"up_{uuid.uuid4().hex}"


class UpstreamBill:
    """Meters one upstream answer on a bill. Inactive in a proxy without charging: nothing is decoded then."""

    def __init__(self, request: web.Request, bill: Bill, endpoint: Endpoint, incoming: Incoming) -> None:
        """Take the request as it came. Example: ``UpstreamBill(request, bill, "messages", incoming)``."""
        self.active = request.app[COMPONENTS].pipeline.charging is not None
        self._bill = bill
        self._endpoint = endpoint
        self._incoming = incoming
        self._counts = request[UPSTREAM_COUNTS] = UpstreamCounts(endpoint, len(incoming.raw))
        self._traced = TRACE in request
        self._raw: RawUsage | None = None

    async def open(self) -> None:
        """Hold the most that the answer may cost. The body's bytes bound its tokens: no tokenizer makes more.

        Raises as ``Bill.open``.
        """
        if not self.active:
            return
        body = self._incoming.body
        bounds = [value for name in _BOUNDS if type(value := body.get(name)) is int and value >= 0]
        most_new = 0 if self._endpoint == "embeddings" else max(bounds, default=MOST_NEW)
        choices = n if type(n := body.get("n")) is int and n > 0 else 1
        ordered = OrderedPrompt(len(self._incoming.raw), most_new, choices=choices)
        await self._bill.open(self._incoming.model, [ordered])
        self._line = self._bill.line(0, upstream=True)

    def asked(self) -> dict[str, Any]:
        """Return the body to send: a stream of completions is asked for its usage, which is its price."""
        body = self._incoming.body
        if not self.active or self._endpoint not in ("chat/completions", "completions"):
            return body
        options = body.get("stream_options")
        return {
            **body,
            "stream_options": {**(options if isinstance(options, dict) else {}), "include_usage": True},
        }

    @property
    def hides_usage(self) -> bool:
        """Whether the client did not ask for the usage that ``asked`` asks for."""
        options = self._incoming.body.get("stream_options")
        return self.active and not (isinstance(options, dict) and options.get("include_usage") is True)

    def see(self, value: dict[str, Any]) -> dict[str, Any] | None:
        """Read an event; return what the client gets of it: with its price where it is the last one with the usage,
        None for one that it did not ask for."""
        if self.active or self._traced:
            self._counts.see(value)
        if not self.active:
            return value
        self._note()
        openai = self._endpoint in ("chat/completions", "completions")
        if openai and value.get("usage") and not value.get("choices"):
            return None if self.hides_usage else self._priced(value)
        if openai and self.hides_usage:
            return {name: part for name, part in value.items() if name != "usage"}
        if value.get("type") == "message_delta" and _stops(value.get("delta")):
            return self._priced(value)
        response = value.get("response")
        if self._counts.ended and isinstance(response, dict):
            return {**value, "response": self._priced(response)}
        return value

    def whole(self, value: dict[str, Any]) -> dict[str, Any]:
        """Read a whole answer, settle, and return it with its price."""
        if self.active or self._traced:
            self._counts.see(value)
        return self._priced(value) if self.active else value

    def settle(self) -> Charge | None:
        """Settle by what has been read. Idempotent."""
        if not self.active:
            return None
        self._note()
        return self._bill.settle().charge

    async def pass_by(self, chunk: bytes, *, events: bool) -> None:
        """Read a chunk of a raw answer before it is passed on; its last event settles the bill."""
        if not self.active:
            return
        self._raw = self._raw or RawUsage(self._counts, events=events)
        for value in self._raw.lines(chunk):
            await off_loop_if_large(len(value), partial(self._raw.decode, value))
        self._note()
        if self._counts.ended:
            self.settle()

    async def end_raw(self) -> None:
        """Settle a raw answer that has come to its end, before the client is told so."""
        if not self.active:
            return
        raw = self._raw or RawUsage(self._counts, events=False)
        for value in raw.rest():
            await off_loop_if_large(len(value), partial(raw.decode, value))
        self.settle()

    def _note(self) -> None:
        """Keep the bill's line at what has come so far: a client may leave at any time."""
        if self._counts.begun:
            self._line.usage = self._counts.usage()

    def _priced(self, value: dict[str, Any]) -> dict[str, Any]:
        """Settle, and return the value with the price in its usage."""
        usage = value.get("usage")
        self._note()
        settled = self._bill.settle()
        if settled.charge is None or not isinstance(usage, dict):
            return value
        return {**value, "usage": {**usage, "cost": answer_cost(settled.charge, settled.receipts)}}


def _stops(delta: Any) -> bool:
    """Whether this is the last of a message's deltas, of which there may be several."""
    return isinstance(delta, dict) and delta.get("stop_reason") is not None

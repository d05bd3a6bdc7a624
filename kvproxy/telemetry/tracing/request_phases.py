"""The phases of a request as spans show them, out of what was measured while it was served."""

from __future__ import annotations

from collections.abc import Iterator

from kvproxy.events import Started
from kvproxy.telemetry.reply_meter import Meter
from kvproxy.telemetry.request_timer import Timings
from kvproxy.telemetry.tracing.attribute_names import CACHE_COLLAPSED, TOKENS
from kvproxy.telemetry.tracing.request_trace import TracedPhase

OWN_PHASES = ("compose", "match")


def own_phases(clock: Timings) -> Iterator[TracedPhase]:
    """Yield the proxy's own phases; ``compose`` twice for a miss, which is written out for other models too.

    Example: ``for phase in own_phases(clock): trace.phase(phase)``
    """
    for name, began, ended in clock.phases:
        if name in OWN_PHASES:
            yield TracedPhase(name, began, ended)


def engine_phases(clock: Timings, started: Started, meter: Meter) -> Iterator[TracedPhase]:
    """Yield queue, load, prefill and decode; none for an upstream's answer, whose call has a span of its own.

    The engine's own clock counts where it is of this process; else they end at the first token's arrival here.

    Example: ``for phase in engine_phases(clock, reply.started, reply.meter): trace.phase(phase)``
    """
    if started.parsed or clock.first_at is None:
        return
    measured_s = started.queue_s + started.load_s + started.prefill_s
    at = clock.first_at - measured_s if started.arrived_at is None else started.arrived_at
    prompt = meter.prompt_tokens
    phases = (
        ("queue", started.queue_s, {CACHE_COLLAPSED: True} if started.collapsed else None),
        ("load", started.load_s, {TOKENS: prompt.get("cached", 0)}),
        ("prefill", started.prefill_s, {TOKENS: prompt.get("prefilled", 0)}),
    )
    for name, seconds, attributes in phases:
        yield TracedPhase(name, at, at + seconds, attributes)
        at += seconds
    if meter.ended_at is not None:
        yield TracedPhase("decode", at, meter.ended_at, {TOKENS: meter.generated})

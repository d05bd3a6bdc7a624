"""One request's spans: true times, bounded calls, and calls that end with their request."""

from __future__ import annotations

import asyncio
import time

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from kvproxy.core import Hit
from kvproxy.events import Finished, Started, TextDelta, Usage
from kvproxy.telemetry.metrics import Metrics
from kvproxy.telemetry.request_timer import Timings
from kvproxy.telemetry.tracing.request_phases import engine_phases, own_phases
from kvproxy.telemetry.tracing.request_trace import MOST_CALLS, RequestTrace, TracedPhase
from kvproxy.telemetry.tracing.tracing import Tracing
from tests.telemetry.tracing.kept_spans import KeptSpans, told


@pytest.fixture
def kept() -> KeptSpans:
    return KeptSpans()


@pytest.fixture
def trace(kept: KeptSpans) -> RequestTrace:
    begun = Tracing(kept.tracer).begin("POST /v1/chat/completions", None, {"a": 1})
    assert begun is not None
    return begun


def test_phases_keep_their_times(kept: KeptSpans, trace: RequestTrace) -> None:
    now = time.perf_counter()
    trace.phase(TracedPhase("load", now, now + 0.25, {"kvproxy.tokens": 512}))
    trace.phase(TracedPhase("queue", now, now))
    trace.end("chat fake", {}, None, failed=False)
    load, request = kept.all
    assert load.end_time is not None and load.start_time is not None and request.start_time is not None
    assert load.end_time - load.start_time == pytest.approx(0.25e9, abs=1e3)
    assert abs(load.start_time - time.time_ns()) < 60e9, "in Unix time"
    assert (load.kind, request.kind) == (SpanKind.INTERNAL, SpanKind.SERVER)
    assert (request.name, told(request)) == ("chat fake", {"a": 1}), "a phase of no time has no span"


def test_a_call_has_headers_of_its_own_and_ends_once(kept: KeptSpans, trace: RequestTrace) -> None:
    call = trace.call("POST", "http://gpu-1:8000/v1/completions")
    assert call.headers["traceparent"] != trace.headers["traceparent"]
    call.answered(503)
    call.end()
    call.end(OSError("late"))
    left = trace.call("POST", "https://gpu-2/")
    left.end(asyncio.CancelledError())
    lost = trace.call("POST", "https://gpu-3/")
    lost.end(ConnectionResetError())
    trace.call("POST", "https://gpu-4/")
    trace.end("chat fake", {}, "client_left", failed=False)
    refused, cancelled, reset, unended, request = kept.all
    assert told(refused)["error.type"] == "503" and refused.status.status_code is StatusCode.ERROR
    assert told(refused)["http.response.status_code"] == 503 and told(refused)["server.port"] == 8000
    assert told(cancelled)["error.type"] == "cancelled" and cancelled.status.status_code is StatusCode.UNSET
    assert told(reset)["error.type"] == "ConnectionResetError"
    assert unended.end_time is not None, "it ends with its request"
    assert told(request)["error.type"] == "client_left" and request.status.status_code is StatusCode.UNSET


def test_behind_so_many_calls_none_is_recorded(kept: KeptSpans, trace: RequestTrace) -> None:
    calls = [trace.call("POST", "http://gpu-1/") for _ in range(MOST_CALLS + 2)]
    assert calls[-1].headers == trace.headers
    calls[-1].answered(500)
    calls[-1].end()
    trace.end("chat fake", {}, None, failed=False)
    assert len(kept.all) == MOST_CALLS + 1


@pytest.mark.parametrize("arrived", [True, False])
def test_phases_of_the_engine_stand_one_behind_another(arrived: bool) -> None:
    clock = Timings()
    with clock.measure("parse"), clock.measure("compose"):
        pass
    began = time.perf_counter()
    started = Started(500, True, 1.0, 2.0, 3.0, arrived_at=began if arrived else None)
    clock.note_first()
    assert clock.first_at is not None
    meter = Metrics().reply(Hit(500, None), started, 600, 0.1)
    meter.event(0, TextDelta("a", 2))
    meter.event(0, Finished("stop", Usage(600, 3, 500)))
    meter.close()
    assert [phase.name for phase in own_phases(clock)] == ["compose"]
    queue, load, prefill, decode = engine_phases(clock, started, meter)
    at = began if arrived else clock.first_at - 6
    assert [p.began for p in (queue, load, prefill, decode)] == pytest.approx([at, at + 1, at + 3, at + 6])
    assert (load.attributes, prefill.attributes) == ({"kvproxy.tokens": 500}, {"kvproxy.tokens": 100})
    assert queue.attributes == {"kvproxy.cache.collapsed": True}
    assert decode.ended == meter.ended_at and decode.attributes == {"kvproxy.tokens": 3}


def test_an_upstreams_answer_has_no_phases_of_an_engine() -> None:
    clock = Timings()
    clock.note_first()
    started = Started(0, False, 0, 0, 0, parsed=True)
    assert list(engine_phases(clock, started, Metrics().reply(Hit(1, None), started, 2, 0.1))) == []

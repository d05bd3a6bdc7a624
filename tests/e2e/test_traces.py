"""Traces through a real collector: a miss and a hit on the real small model, an upstream, a fleet's replica."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from kvproxy.telemetry.tracing.attribute_names import CONVENTIONS
from tests.backends.mock_upstream import USAGE, MockUpstream
from tests.e2e.fake_fleet import FLEET, served_fleet
from tests.e2e.reader import MODEL, Reader, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system
from tests.telemetry.tracing.otlp_collector import OtlpCollector, ReceivedSpan, collector

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TRACE = "0af7651916cd43dd8448eb211c80319c"
SOUND = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "tracestate": "rojo=1"}


@pytest.fixture(scope="module")
def told() -> Iterator[OtlpCollector]:
    with collector() as told:
        yield told


@pytest.fixture(scope="module")
def traced(
    smollm2: Path, upstream: MockUpstream, told: OtlpCollector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    params = {"model": "openai/up-1", "api_base": upstream.url, "api_key": "sk-upstream"}
    config = {
        "model": {"name": MODEL},
        "telemetry": {
            "traces": "otlp",
            "endpoint": told.url,
            "service_name": "kv-test",
            "log_format": "json",
        },
        "upstreams": [
            {"name": "far", "params": params},
            {"name": "raw", "passthrough": True, "params": params},
        ],
    }
    with Served(tmp_path_factory.mktemp("traced"), smollm2, config) as proxy:
        yield proxy


@pytest.fixture
def publisher(traced: Served) -> Iterator[Reader]:
    with reader(traced.url) as publisher:
        yield publisher


def request_span(told: OtlpCollector, **attributes: Any) -> ReceivedSpan:
    """Wait for a request's span that has these attributes, dots written as ``__``."""
    wanted = {name.replace("__", "."): value for name, value in attributes.items()}

    def found(spans: list[ReceivedSpan]) -> list[ReceivedSpan]:
        return [s for s in spans if s.kind == "server" and wanted.items() <= s.attributes.items()]

    told.wait_for(lambda spans: bool(found(spans)))
    return found(told.spans)[-1]


def below(told: OtlpCollector, parent: ReceivedSpan) -> dict[str, ReceivedSpan]:
    return {span.name: span for span in told.spans if span.parent_id == parent.span_id}


def seconds(span: ReceivedSpan) -> float:
    return (span.ended_ns - span.began_ns) / 1e9


def test_a_miss_and_a_hit(publisher: Reader, told: OtlpCollector, traced: Served) -> None:
    text = document("traced", 4_000)
    cold = publisher.ask(in_system(text, "Who may copy it?"))
    miss = request_span(told, kvproxy__cache__outcome="miss")
    publisher.publish("traced", text)
    warm = publisher.ask(in_system(text, "What is this text about?"), stream=True)
    hit = request_span(told, kvproxy__cache__outcome="hit")
    for span, answer in ((miss, cold), (hit, warm)):
        seen = span.attributes
        assert span.name == f"chat {MODEL}" and span.resource["service.name"] == "kv-test"
        assert set(seen) <= {*CONVENTIONS, *(name for name in seen if name.startswith("kvproxy."))}
        assert seen["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens
        assert seen["gen_ai.usage.output_tokens"] == answer.usage.completion_tokens
        assert seen["gen_ai.usage.cache_read.input_tokens"] == answer.cached
        assert seen["gen_ai.response.finish_reasons"] == [answer.finish_reason]
        assert seen["gen_ai.provider.name"] == "kvproxy"
        children = below(told, span)
        assert {"compose", "match", "queue", "prefill", "decode"} <= set(children)
        assert all(span.began_ns <= c.began_ns <= c.ended_ns <= span.ended_ns for c in children.values())
        order = [children[name].ended_ns for name in ("match", "queue", "prefill", "decode")]
        assert order == sorted(order)
    published = request_span(told, http__route="/kv/v1/documents")
    work = below(told, published)
    assert {"tokenize", "prefill", "register"} <= set(work) and published.name == "POST /kv/v1/documents"
    assert work["prefill"].attributes["kvproxy.framing"] == "system"
    assert seconds(work["prefill"]) > 0.5 * seconds(published), "where a publish spends its time"
    assert hit.attributes["gen_ai.usage.cache_read.input_tokens"] > 0
    assert "kvproxy.document" not in hit.attributes
    timing = cold.timing_ms
    assert seconds(below(told, miss)["prefill"]) * 1e3 == pytest.approx(timing["prefill"], abs=0.1)
    assert seconds(below(told, hit)["prefill"]) < seconds(below(told, miss)["prefill"])


def test_the_trace_goes_on_at_an_upstream(
    publisher: Reader, told: OtlpCollector, upstream: MockUpstream
) -> None:
    for model in ("far", "raw"):
        for stream in (False, True):
            answer = publisher.ask(
                [{"role": "user", "content": "Hello"}], model=model, stream=stream, extra_headers=SOUND
            )
            assert answer.text == "Hello."
            span = request_span(told, gen_ai__request__model=model)
            assert span.trace_id == TRACE and span.attributes["gen_ai.provider.name"] == "openai"
            call = below(told, span)["upstream"]
            assert (call.kind, call.attributes["server.address"]) == ("client", "127.0.0.1")
            assert call.attributes["http.response.status_code"] == 200 and not call.failed
            assert call.attributes["url.full"] == f"{upstream.url}/chat/completions"
            sent = upstream.asked_with[-1]
            assert sent["traceparent"] == f"00-{TRACE}-{call.span_id}-01" and sent["tracestate"] == "rojo=1"
            if model == "far":
                assert span.attributes["gen_ai.usage.input_tokens"] == USAGE["prompt_tokens"]
                assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 4
                assert span.attributes["gen_ai.usage.cache_creation.input_tokens"] == 3
                assert span.attributes["gen_ai.usage.reasoning.output_tokens"] == 1
                assert span.attributes["gen_ai.response.finish_reasons"] == ["stop"]
                assert span.attributes["gen_ai.response.id"]
            told.spans.clear()


def test_lines_of_the_log_name_request_and_trace(publisher: Reader, traced: Served) -> None:
    response = publisher.http.get("/v1/models", headers={**SOUND, "x-request-id": "req-of-the-log"})
    assert response.status_code == 200
    lines = [json.loads(line) for line in traced.log.splitlines()]
    assert any(line["message"].startswith(f"serving {MODEL}") for line in lines)
    [line] = [line for line in lines if line.get("request_id") == "req-of-the-log"]
    assert line["trace_id"] == TRACE and line["level"] == "INFO"
    assert "GET /v1/models -> 200" in line["message"]


def test_the_trace_goes_on_at_a_replica(smollm2: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        told = stack.enter_context(collector())
        telemetry = {"traces": "otlp", "endpoint": told.url}
        fleet, proxy = stack.enter_context(served_fleet(tmp_path, smollm2, "one", telemetry=telemetry))
        messages = [{"role": "user", "content": "Hello"}]
        bodies: dict[str, dict[str, Any]] = {
            "/v1/chat/completions": {"messages": messages, "max_tokens": 4},
            "/v1/completions": {"prompt": "Hello", "max_tokens": 5},
            "/v1/responses": {"input": "Hello", "max_output_tokens": 6, "stream": True},
            "/v1/messages": {"messages": messages, "max_tokens": 7, "stream": True},
        }
        with httpx.Client(base_url=proxy.url, timeout=120, trust_env=False, headers=SOUND) as http:
            for path, body in bodies.items():
                assert http.post(path, json={"model": FLEET, **body}).status_code == 200
        for tokens, path in enumerate(bodies, 4):
            span = request_span(told, http__route=path)
            call = below(told, span)["upstream"]
            assert span.attributes["kvproxy.replica"] == "one" and span.name.endswith(f" {FLEET}")
            assert span.attributes["gen_ai.request.max_tokens"] == tokens
            assert {"compose", "match", "prefill", "decode"} <= set(below(told, span)), path
            [sent] = [one for one in fleet.requests if one["max_tokens"] == tokens]
            assert sent["traceparent"] == f"00-{TRACE}-{call.span_id}-01"

"""Spans of requests over the fake backend: their names, attributes and children, and what no span may say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode

from kvproxy.runtime.request_context import begin_call
from kvproxy.telemetry.tracing.tracing import Tracing
from tests.server.doubles import Http, ask, client_of, eventually, make_proxy
from tests.telemetry.tracing.kept_spans import KeptSpans, told

CHAT = "/v1/chat/completions"
TEXT = "the secret prompt " * 20
SOUND = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def kept() -> KeptSpans:
    return KeptSpans()


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


async def asked(http: Http, text: str = TEXT, **fields: Any) -> None:
    answer = await http.post(CHAT, json=ask(text, **fields))
    await answer.read()
    assert answer.status == 200


def within(child: ReadableSpan, parent: ReadableSpan) -> bool:
    assert child.start_time is not None and child.end_time is not None
    assert parent.start_time is not None and parent.end_time is not None
    return parent.start_time <= child.start_time <= child.end_time <= parent.end_time


async def test_a_miss_and_then_a_hit(kept: KeptSpans) -> None:
    async with client_of(kept.of(make_proxy())) as http:
        await asked(http)
        await asked(http, stream=True)
        port = http.port
    miss, hit = kept.requests
    assert (miss.name, hit.name) == ("chat fake", "chat fake")
    seen = told(miss)
    tokens = len(TEXT) + 3
    assert seen["gen_ai.usage.input_tokens"] == tokens and seen["gen_ai.usage.cache_read.input_tokens"] == 0
    assert seen["gen_ai.operation.name"] == "chat" and seen["gen_ai.provider.name"] == "kvproxy"
    assert seen["gen_ai.request.model"] == seen["gen_ai.response.model"] == "fake"
    assert str(seen["gen_ai.response.id"]).startswith("chatcmpl-")
    assert seen["gen_ai.response.finish_reasons"] == ("stop",)
    assert (seen["kvproxy.cache.outcome"], seen["kvproxy.cache.reason"]) == ("miss", "no-document")
    assert (seen["http.request.method"], seen["http.route"], seen["url.path"]) == ("POST", CHAT, CHAT)
    assert (seen["http.response.status_code"], seen["server.port"]) == (200, port)
    assert "error.type" not in seen and miss.status.status_code is StatusCode.UNSET
    seen = told(hit)
    assert seen["gen_ai.usage.cache_read.input_tokens"] == tokens - 1
    assert seen["gen_ai.usage.input_tokens"] == tokens, "cached ones are included"
    assert (
        seen["gen_ai.request.stream"] is True and float(str(seen["gen_ai.response.time_to_first_chunk"])) >= 0
    )
    assert seen["kvproxy.cache.outcome"] == "hit"
    for span in (miss, hit):
        children = kept.below(span)
        assert {"compose", "match", "decode"} <= set(children)
        assert all(within(child, span) for child in children.values()), children


async def test_no_span_says_a_prompt_an_answer_a_key_or_a_document(kept: KeptSpans) -> None:
    key = "key-of-ann-0123456789"
    async with client_of(kept.of(make_proxy(api_keys=(("ann", key),)))) as http:
        headers = {"Authorization": f"Bearer {key}"}
        published = {"id": "private-plans", "text": TEXT, "visibility": "private"}
        await (await http.post("/kv/v1/documents", json=published, headers=headers)).read()
        await (await http.post(CHAT, json=ask(TEXT), headers=headers)).read()
        await (await http.get("/kv/v1/documents/private-plans", headers=headers)).read()
        await (await http.get("/kv/v1/no-such-thing/private-plans", headers=headers)).read()
    assert len(kept.requests) == 4
    everything = "".join(span.to_json() for span in kept.all)
    for secret in ("secret", "private-plans", key):
        assert secret not in everything


async def test_documents_are_named_where_that_is_allowed(kept: KeptSpans) -> None:
    async with client_of(kept.of(make_proxy(), document_ids=True)) as http:
        await (await http.post("/kv/v1/documents", json={"id": "plans", "text": TEXT})).read()
        await asked(http, TEXT + "And?")
    assert told(kept.requests[-1])["kvproxy.document"] == "plans@1"


async def test_a_request_goes_on_in_the_trace_that_it_names(kept: KeptSpans) -> None:
    async with client_of(kept.of(make_proxy())) as http:
        for sent in (SOUND, "00-nonsense-01"):
            await (await http.get("/v1/models", headers={"traceparent": sent})).read()
    named, unnamed = kept.requests
    assert named.name == "GET /v1/models"
    assert named.parent is not None and format(named.parent.span_id, "016x") == SOUND[36:52]
    assert format(context_of(named).trace_id, "032x") == SOUND[3:35]
    assert unnamed.parent is None


@pytest.mark.parametrize("traced", [True, False])
async def test_the_trace_is_carried_to_other_servers(
    kept: KeptSpans, traced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried: list[dict[str, str]] = []
    proxy = make_proxy()
    if traced:
        kept.of(proxy)
    complete = proxy.misses.complete

    async def calling(endpoint: Any, body: dict[str, Any]) -> dict[str, Any]:
        call = begin_call("POST", "http://far/v1/chat/completions?key=k")
        carried.append(dict(call.headers))
        call.answered(200)
        call.end()
        return await complete(endpoint, body)

    monkeypatch.setattr(proxy.misses, "complete", calling)
    headers = {"traceparent": SOUND, "tracestate": "rojo=1"}
    async with client_of(proxy) as http:
        answer = await http.post(CHAT, json=ask(model="gpt-far"), headers=headers)
        assert answer.status == 200
    [sent] = carried
    assert sent["tracestate"] == "rojo=1" and sent["traceparent"][:36] == SOUND[:36]
    if not traced:
        assert sent["traceparent"] == SOUND, "no span stands between"
        assert kept.all == []
        return
    upstream, request = kept.all
    assert (upstream.name, told(upstream)["server.address"]) == ("upstream", "far")
    assert sent["traceparent"][36:52] == format(context_of(upstream).span_id, "016x")
    assert told(request)["gen_ai.provider.name"] == "mistral_ai"
    assert told(request)["kvproxy.cache.outcome"] == "bypass"


async def test_errors_have_their_type(kept: KeptSpans) -> None:
    proxy = kept.of(make_proxy())
    async with client_of(proxy) as http:
        await http.post(CHAT, json=ask(temperature=9))
        await http.get("/nowhere")
    bad, nowhere = kept.requests
    assert (told(bad)["error.type"], told(bad)["http.response.status_code"]) == ("invalid_request_error", 400)
    assert bad.status.status_code is StatusCode.UNSET, "a refusal is not the server's failure"
    assert (nowhere.name, told(nowhere)["http.response.status_code"]) == ("GET", 404)


async def test_a_stream_that_breaks_off_has_failed(kept: KeptSpans) -> None:
    proxy = kept.of(make_proxy())
    proxy.backend.fail_next(RuntimeError("the engine is gone"), after_words=1)
    async with client_of(proxy) as http:
        answer = await http.post(CHAT, json=ask(stream=True))
        assert b"error" in await answer.read()
    [span] = kept.requests
    assert told(span)["http.response.status_code"] == 200 and "error.type" in told(span)
    assert span.status.status_code is StatusCode.ERROR


async def test_a_client_that_leaves_ends_its_span(kept: KeptSpans) -> None:
    proxy = kept.of(make_proxy(start_delay_s=30.0))
    async with client_of(proxy) as http:
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(0.2):
                await http.post(CHAT, json=ask())
        await eventually(lambda: kept.requests != [])
    [span] = kept.requests
    assert told(span)["error.type"] == "client_left" and "http.response.status_code" not in told(span)
    assert told(span)["kvproxy.cache.outcome"] == "left"


async def test_probes_have_no_spans(kept: KeptSpans) -> None:
    async with client_of(kept.of(make_proxy())) as http:
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert (await http.get(path)).status == 200
    assert kept.all == []


async def test_without_a_tracer_there_is_nothing_to_end() -> None:
    proxy = make_proxy()
    assert proxy.components.tracing == Tracing()
    async with client_of(proxy) as http:
        await asked(http)

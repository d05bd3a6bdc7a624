"""Spans of every dialect, whole and streamed, by a model of this proxy and by an upstream's; and what was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.doubles import client_of, make_proxy
from tests.telemetry.tracing.kept_spans import KeptSpans, told

TEXT = "the quiet words of the prompt"
MESSAGES = [{"role": "user", "content": TEXT}]
DIALECTS: list[tuple[str, str, dict[str, Any]]] = [
    ("/v1/chat/completions", "chat", {"messages": MESSAGES, "max_completion_tokens": 9}),
    ("/v1/completions", "text_completion", {"prompt": TEXT, "max_tokens": 9}),
    ("/v1/responses", "chat", {"input": TEXT, "max_output_tokens": 9}),
    ("/v1/messages", "chat", {"messages": MESSAGES, "max_tokens": 9}),
]


@pytest.fixture
def kept() -> KeptSpans:
    return KeptSpans()


@pytest.mark.parametrize("model", ["fake", "gpt-far"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "operation", "body"), DIALECTS, ids=[one[0][4:] for one in DIALECTS])
async def test_each_dialect(
    kept: KeptSpans, path: str, operation: str, body: dict[str, Any], stream: bool, model: str
) -> None:
    async with client_of(kept.of(make_proxy())) as http:
        answer = await http.post(path, json={**body, "model": model, "stream": stream, "temperature": 0.5})
        await answer.read()
        assert answer.status == 200
    [span] = kept.requests
    seen = told(span)
    assert span.name == f"{operation} {model}" and seen["gen_ai.operation.name"] == operation
    assert seen["gen_ai.provider.name"] == ("kvproxy" if model == "fake" else "mistral_ai")
    assert (seen["gen_ai.request.max_tokens"], seen["gen_ai.request.temperature"]) == (9, 0.5)
    assert seen["gen_ai.request.model"] == seen["gen_ai.response.model"] == model
    assert seen["gen_ai.response.id"] and seen["gen_ai.response.finish_reasons"]
    assert (
        int(str(seen["gen_ai.usage.input_tokens"])) > 0 and int(str(seen["gen_ai.usage.output_tokens"])) > 0
    )
    assert {"gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens"} <= set(seen)
    assert seen.get("gen_ai.request.stream", False) is stream
    if stream:
        assert float(str(seen["gen_ai.response.time_to_first_chunk"])) >= 0
    else:
        assert "gen_ai.response.time_to_first_chunk" not in seen
    phases = {"compose", "match", "decode"} if model == "fake" else set()
    assert phases <= set(kept.below(span))
    assert TEXT not in "".join(one.to_json() for one in kept.all)


async def test_embeddings_of_an_upstream(kept: KeptSpans) -> None:
    body = {"model": "gpt-far", "input": TEXT, "dimensions": 8}
    async with client_of(kept.of(make_proxy())) as http:
        assert (await http.post("/v1/embeddings", json=body)).status == 200
    [span] = kept.requests
    assert span.name == "embeddings gpt-far" and told(span)["gen_ai.embeddings.dimension.count"] == 8
    assert told(span)["gen_ai.usage.input_tokens"] == 9


async def test_a_refused_request_says_what_it_asked_for(kept: KeptSpans) -> None:
    async with client_of(kept.of(make_proxy())) as http:
        body = {"model": "fake", "messages": MESSAGES, "temperature": 9, "seed": 4, "n": 3, "stop": [TEXT]}
        assert (await http.post("/v1/chat/completions", json=body)).status == 400
    [span] = kept.requests
    seen = told(span)
    assert (seen["gen_ai.request.temperature"], seen["gen_ai.request.seed"]) == (9.0, 4)
    assert seen["gen_ai.request.choice.count"] == 3 and seen["error.type"] == "invalid_request_error"
    assert TEXT not in span.to_json(), "a stop sequence is the client's own text"

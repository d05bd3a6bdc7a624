"""Upstreams on the endpoints beside chat completions, through litellm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kvproxy.backends.base import Endpoint
from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.errors import InvalidRequest, UpstreamError
from tests.backends.mock_endpoints import EVENTS, MESSAGE, USAGE, WHOLE, MockEndpoints, mock_endpoints

# As in test_litellm.py; and litellm's types make pydantic speak of `ReadOnly` where they are first used.
pytestmark = [
    pytest.mark.filterwarnings(
        r"ignore:Accessing the 'model_(computed_)?fields' attribute:pydantic.warnings.PydanticDeprecatedSince211"
    ),
    pytest.mark.filterwarnings(r"ignore:Items? .* on TypedDict class .* `ReadOnly` qualifier:UserWarning"),
]

ASK: dict[Endpoint, dict[str, Any]] = {
    "completions": {"prompt": "Hi"},
    "embeddings": {"input": ["Hi"]},
    "responses": {"input": "Hi"},
    "messages": {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]},
}


@pytest.fixture
async def upstream() -> AsyncIterator[MockEndpoints]:
    async with mock_endpoints() as upstream:
        yield upstream


@pytest.fixture
async def backend(upstream: MockEndpoints) -> AsyncIterator[LitellmBackend]:
    up = {"model": "openai/up-1", "api_base": upstream.url, "api_key": "sk-up"}
    backend = LitellmBackend(
        served={},
        upstreams=[
            ("up", up),
            ("chatty", {**up, "use_chat_completions_api": True}),
            ("claude", {**up, "model": "anthropic/up-1", "api_base": upstream.url.removesuffix("/v1")}),
            ("vllm", {**up, "model": "hosted_vllm/up-1"}),
            ("dead", {**up, "api_base": "http://127.0.0.1:9/v1"}),
        ],
        fallbacks={},
    )
    await backend.start()
    yield backend
    await backend.close()


async def events_of(backend: LitellmBackend, endpoint: Endpoint, **body: Any) -> list[dict[str, Any]]:
    asked = {"model": "up", **ASK[endpoint], "stream": True, **body}
    return [event async for event in backend.stream(endpoint, asked)]


@pytest.mark.parametrize("endpoint", ["completions", "embeddings", "responses"])
async def test_an_openai_upstream_gets_the_body_and_answers_as_it_does(
    backend: LitellmBackend, upstream: MockEndpoints, endpoint: Endpoint
) -> None:
    more = {
        "user": "u",
        "metadata": {"a": "b"},
        "made_up": {"deep": [None, 1]},
        "api_base": "http://evil",
        "seed": 1,
    }
    answer = await backend.complete(endpoint, {"model": "up", **ASK[endpoint], **more})
    assert upstream.seen[-1][0] == endpoint
    assert upstream.body == {"model": "up-1", **ASK[endpoint], **more}
    assert answer == WHOLE[endpoint]


@pytest.mark.parametrize("prompt", [[1, 2], [[1, 2], [3]], ["a", "b"]])
async def test_prompts_of_every_shape_arrive(
    backend: LitellmBackend, upstream: MockEndpoints, prompt: Any
) -> None:
    await backend.complete("completions", {"model": "up", "prompt": prompt})
    assert upstream.body["prompt"] == prompt


async def test_token_ids_are_no_prompt_for_a_translated_upstream(backend: LitellmBackend) -> None:
    with pytest.raises(InvalidRequest, match="string"):
        await backend.complete("completions", {"model": "claude", "prompt": [1, 2]})


async def test_base64_embeddings_stay_base64(backend: LitellmBackend, upstream: MockEndpoints) -> None:
    await backend.complete("embeddings", {"model": "up", "input": [[1, 2]], "encoding_format": "base64"})
    assert upstream.body == {"model": "up-1", "input": [[1, 2]], "encoding_format": "base64"}


async def test_text_streams(backend: LitellmBackend, upstream: MockEndpoints) -> None:
    events = await events_of(backend, "completions", stream_options={"include_usage": True})
    assert [e["choices"][0]["text"] for e in events[:-1]] == ["Hel", "lo.", ""]
    assert [e["choices"][0]["finish_reason"] for e in events[:-1]] == [None, None, "stop"]
    assert events[-1]["choices"] == []
    assert {name: events[-1]["usage"][name] for name in USAGE} == USAGE
    assert len({(e["id"], e["object"], e["created"], e["model"]) for e in events}) == 1
    assert all("usage" not in e for e in await events_of(backend, "completions"))


async def test_response_streams(backend: LitellmBackend, upstream: MockEndpoints) -> None:
    events = await events_of(backend, "responses", previous_response_id="resp_0")
    assert upstream.body["previous_response_id"] == "resp_0"
    assert events == EVENTS["responses"]


@pytest.mark.parametrize("name", ["chatty", "claude"])
async def test_responses_of_an_upstream_that_has_none_are_translated(
    backend: LitellmBackend, upstream: MockEndpoints, name: str
) -> None:
    answer = await backend.complete("responses", {"model": name, "input": "Hi", "store": False, "made_up": 1})
    assert upstream.seen[-1][0] == {"chatty": "chat/completions", "claude": "messages"}[name]
    # What speaks OpenAI's dialect in the end gets it all the same; for others it is named.
    left_out = await backend.left_out(
        "responses", {"model": name, "input": "Hi", "store": False, "made_up": 1}
    )
    assert upstream.body.get("made_up") == {"chatty": 1, "claude": None}[name]
    assert [item.param for item in left_out] == {"chatty": [], "claude": ["store", "made_up"]}[name]
    assert answer["id"].startswith("resp_") and answer["output"][0]["content"][0]["text"] == "Hello."
    events = await events_of(backend, "responses", model=name)
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")


async def test_messages_of_an_anthropic_upstream(backend: LitellmBackend, upstream: MockEndpoints) -> None:
    marked = [
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}
    ]
    body = {"model": "claude", "max_tokens": 5, "messages": marked, "metadata": {"user_id": "u"}, "top_k": 3}
    assert await backend.complete("messages", body) == MESSAGE
    assert upstream.seen[-1][2]["x-api-key"] == "sk-up"
    assert {k: upstream.body[k] for k in ("messages", "metadata", "top_k")} == {
        "messages": marked,
        "metadata": {"user_id": "u"},
        "top_k": 3,
    }
    events = await events_of(backend, "messages", model="claude", messages=marked)
    assert upstream.seen[-1][0] == "messages" and upstream.body["messages"] == marked
    assert [e["type"] for e in events] == [e["type"] for e in EVENTS["messages"]]
    assert events[2]["delta"] == {"type": "text_delta", "text": "Hello."}


@pytest.mark.parametrize("name", ["up", "vllm"])
async def test_messages_of_an_openai_upstream_are_translated_to_chat(
    backend: LitellmBackend, upstream: MockEndpoints, name: str
) -> None:
    answer = await backend.complete("messages", {"model": name, **ASK["messages"]})
    assert upstream.seen[-1][0] == "chat/completions"
    assert answer["content"] == [{"type": "text", "text": "Hello."}]
    assert answer["usage"]["cache_read_input_tokens"] == 4
    assert "_hidden_params" not in answer
    events = await events_of(backend, "messages", model=name)
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")


@pytest.mark.parametrize("endpoint", list(ASK))
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_errors_keep_status_and_body(
    backend: LitellmBackend, upstream: MockEndpoints, endpoint: Endpoint, status: int
) -> None:
    upstream.status, upstream.headers = status, {"Retry-After": "7"}
    model = "claude" if endpoint == "messages" else "up"
    with pytest.raises(UpstreamError) as raised:
        await backend.complete(endpoint, {"model": model, **ASK[endpoint]})
    assert raised.value.http_status == status
    error = raised.value.body()["error"]
    assert error == {"message": "No.", "type": "invalid_request_error", "param": "p", "code": "c"}
    assert raised.value.retry_after_s == 7
    assert len(upstream.seen) == 1, "asked again"


@pytest.mark.parametrize("endpoint", list(ASK))
async def test_a_refused_connection_is_502(backend: LitellmBackend, endpoint: Endpoint) -> None:
    with pytest.raises(UpstreamError) as raised:
        await backend.complete(endpoint, {"model": "dead", **ASK[endpoint]})
    assert raised.value.http_status == 502 and "Traceback" not in str(raised.value.body())


@pytest.mark.parametrize("endpoint", ["completions", "responses", "messages"])
async def test_a_broken_stream_ends_in_an_error_after_its_events(
    backend: LitellmBackend, upstream: MockEndpoints, endpoint: Endpoint
) -> None:
    upstream.end = "drop"
    seen: list[dict[str, Any]] = []
    with pytest.raises(UpstreamError):
        async for event in backend.stream(endpoint, {"model": "up", **ASK[endpoint], "stream": True}):
            seen.append(event)
    assert seen


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        ("completions", {"prompt": 5}, "prompt"),
        ("embeddings", {"input": []}, "input"),
        ("responses", {"input": 5}, "input"),
        ("responses", {"input": "Hi", "tools": [1]}, "tools"),
        ("messages", {"messages": ASK["messages"]["messages"]}, "max_tokens"),
        ("messages", {"max_tokens": 5}, "messages"),
    ],
)
async def test_shapes_that_litellm_trips_over_are_refused(
    backend: LitellmBackend, endpoint: Endpoint, body: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await backend.complete(endpoint, {"model": "up", **body})
    assert raised.value.param == param

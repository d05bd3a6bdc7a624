"""Another model of the same base_url: through litellm, and as if it were not there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.backends.mock_upstream import USAGE, MockUpstream
from tests.e2e.conftest import Fresh
from tests.e2e.reader import MODEL, Reader

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ASK = [{"role": "user", "content": "Hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Look at it.",
            "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
        },
    }
]
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}


@pytest.fixture(scope="module")
def tenant(fresh: Fresh) -> Reader:
    return fresh()


@pytest.fixture
def far(upstream: MockUpstream) -> Iterator[MockUpstream]:
    before = copy.deepcopy(upstream.__dict__)
    yield upstream
    upstream.__dict__.update(before)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_comes_as_it_is(tenant: Reader, far: MockUpstream, stream: bool) -> None:
    answer = tenant.ask(ASK, model="far", stream=stream, seed=3, user="me", extra_body={"top_k": 5})
    assert (answer.text, answer.finish_reason, answer.outcome) == ("Hello.", "stop", "fwd=bypass")
    usage = answer.usage.model_dump(exclude_none=True)
    assert {name: usage[name] for name in USAGE} == USAGE
    body = far.bodies[-1]
    sent = {"messages": ASK, "seed": 3, "user": "me", "top_k": 5, "temperature": 0, "max_tokens": 12}
    assert {name: body.get(name) for name in sent} == sent
    assert body["model"] == "up-1"


def test_tools_pass(tenant: Reader, far: MockUpstream) -> None:
    far.message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    far.finish_reason = "tool_calls"
    create: Any = tenant.client.chat.completions.create
    completion = create(model="far", messages=ASK, tools=TOOLS, tool_choice="required")
    assert (far.bodies[-1]["tools"], far.bodies[-1]["tool_choice"]) == (TOOLS, "required")
    [choice] = completion.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert [c.model_dump(exclude_none=True) for c in choice.message.tool_calls] == [CALL]


def test_tools_pass_streamed(tenant: Reader, far: MockUpstream) -> None:
    function = {"name": "look", "arguments": ""}
    far.deltas = [
        {"role": "assistant", "content": None},
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"at": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"it"}'}}]},
    ]
    far.finish_reason = "tool_calls"
    create: Any = tenant.client.chat.completions.create
    with create(model="far", messages=ASK, tools=TOOLS, stream=True) as chunks:
        choices = [c.choices[0] for c in chunks if c.choices]
    calls = [c for choice in choices for c in choice.delta.tool_calls or ()]
    assert (calls[0].id, calls[0].function.name) == ("call_1", "look")
    assert "".join(c.function.arguments or "" for c in calls) == '{"at": "it"}'
    assert choices[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_a_refusal_keeps_its_status(
    tenant: Reader, far: MockUpstream, status: int, kind: type[openai.APIStatusError], stream: bool
) -> None:
    far.status, far.headers = status, {"Retry-After": "7"} if status == 429 else {}
    with pytest.raises(kind) as refused:
        tenant.ask(ASK, model="far", stream=stream)
    assert refused.value.status_code == status
    assert isinstance(refused.value.body, dict)
    assert set(refused.value.body) >= {"message", "type", "param", "code"}
    assert "Traceback" not in str(refused.value) and "litellm" not in str(refused.value).lower()
    if status == 429:
        assert refused.value.response.headers["retry-after"] == "7"


def test_a_stream_that_breaks_ends_with_an_error(tenant: Reader, far: MockUpstream) -> None:
    far.stream_end = "drop"
    with pytest.raises(openai.APIError):
        tenant.ask(ASK, model="far", stream=True)


def test_an_upstream_that_is_not_there(tenant: Reader) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        tenant.ask(ASK, model="dead")
    assert refused.value.status_code >= 500
    assert "Traceback" not in str(refused.value)


def test_completions_and_embeddings_of_an_upstream_that_has_none(tenant: Reader) -> None:
    """The mock has chat alone: its own 404 is the answer, as the upstream's error."""
    for ask in (
        lambda: tenant.client.completions.create(model="far", prompt="Hi"),
        lambda: tenant.client.embeddings.create(model="far", input="Hi"),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()


def test_the_local_model_completes_text_and_makes_no_embeddings(tenant: Reader) -> None:
    create: Any = tenant.client.completions.create
    asked = {"model": MODEL, "prompt": "The capital of France is", "max_tokens": 5, "temperature": 0}
    whole = create(**asked)
    assert "Paris" in whole.choices[0].text and whole.choices[0].finish_reason == "length"
    with create(**asked, stream=True) as chunks:
        assert "".join(c.choices[0].text for c in chunks) == whole.choices[0].text
    with pytest.raises(openai.BadRequestError, match="makes no embeddings"):
        tenant.client.embeddings.create(model=MODEL, input="Hi")


@pytest.mark.parametrize("stream", [False, True])
def test_a_raw_upstream_answers_as_it_would_itself(tenant: Reader, far: MockUpstream, stream: bool) -> None:
    answer = tenant.ask(ASK, model="raw", stream=stream, extra_body={"made_up": {"deep": [None, 1]}})
    assert (answer.text, answer.finish_reason, answer.outcome) == ("Hello.", "stop", "fwd=bypass")
    assert (far.bodies[-1]["model"], far.bodies[-1]["made_up"]) == ("up-1", {"deep": [None, 1]})

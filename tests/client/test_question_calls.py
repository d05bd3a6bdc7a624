from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from kvproxy.client import Client, RequestFailed
from tests.fake_proxy import FakeProxy, running


@pytest.fixture
def proxy() -> Iterator[FakeProxy]:
    with running() as proxy:
        yield proxy


def test_a_question_names_its_documents(proxy: FakeProxy) -> None:
    with Client(proxy.url) as client:
        client.publish("handbook", "one two")
        client.publish("law", "three")
        answer = client.ask(
            "why?", ["handbook", "law"], instructions="Be brief.", max_tokens=5, temperature=0
        )
    assert (answer.text, answer.finish_reason, answer.model) == ("no", "stop", "fake")
    assert (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens) == (4, 2, 1)
    asked = proxy.asked[-1]
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("fake", 5, 0)
    system, user = asked["messages"]
    assert [p.get("document") for p in system["content"]] == ["handbook", "law", None]
    assert system["content"][-1] == {"type": "text", "text": "Be brief."}
    assert user == {"role": "user", "content": "why?"}


def test_a_question_alone_has_no_system_message(proxy: FakeProxy) -> None:
    with Client(proxy.url) as client:
        assert client.ask("why?", model="other").cached_tokens == 0
    assert proxy.asked[-1] == {"model": "other", "messages": [{"role": "user", "content": "why?"}]}


def test_one_reference_is_no_list_of_letters(proxy: FakeProxy) -> None:
    with Client(proxy.url) as client, pytest.raises(TypeError, match=r"ask\(question, \['handbook'\]\)"):
        client.ask("why?", "handbook")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": [], "usage": {}},
        {"choices": [{"message": None, "finish_reason": "stop"}], "usage": {}, "model": "m"},
        {
            "choices": [{"message": {}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": "x"},
            "model": "m",
        },
    ],
)
def test_an_answer_of_another_shape_is_one_sentence(body: dict[str, object]) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    with (
        Client("http://x", transport=transport) as client,
        pytest.raises(RequestFailed, match="not as a kvproxy"),
    ):
        client.ask("why?", model="m")

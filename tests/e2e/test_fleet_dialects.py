"""Every dialect over fake replicas: clients get what the replica said, or a 400 that names the field."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kvproxy.fake_replica.replica_text import ModelText
from tests.documents.templates import ALWAYS_THINKS
from tests.e2e.fake_fleet import FLEET, FakeFleet
from tests.e2e.served import Served
from tests.e2e.test_answer_formats import FORMS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

Fleet = tuple[FakeFleet, Served]
THINKER = "thinking-fleet"
WEATHER = {
    "type": "object",
    "properties": {"place": {"type": "string"}},
    "required": ["place"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def thinker(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeFleet]:
    """A fleet of one replica whose template begins every answer with a thought."""
    folder = tmp_path_factory.mktemp("thinker")
    for name in ("tokenizer.json", "config.json"):
        shutil.copy(smollm2 / name, folder / name)
    (folder / "chat_template.jinja").write_text(ALWAYS_THINKS, encoding="utf-8")
    with FakeFleet(folder, "deep") as fleet:
        yield fleet


@pytest.fixture(scope="module")
def served(smollm2: Path, thinker: FakeFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One proxy with two fleets and no model of its own."""
    with FakeFleet(smollm2, "one", "two") as fleet:
        fleets = [fleet.config(), {**thinker.config(), "name": THINKER}]
        with Served(tmp_path_factory.mktemp("fleet"), None, {"fleets": fleets}) as proxy:
            yield fleet, proxy


@pytest.fixture(scope="module")
def text(smollm2: Path) -> ModelText:
    return ModelText.load(smollm2)


def post(served: Fleet, path: str, body: dict[str, Any]) -> httpx.Response:
    answer = httpx.post(f"{served[1].url}{path}", json={"model": FLEET, **body}, timeout=120, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer


def chat(served: Fleet, question: str, **fields: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0, **fields}
    told: dict[str, Any] = post(served, "/v1/chat/completions", body).json()
    return told


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = answer.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]


def asked(served: Fleet, question: str, text: ModelText) -> dict[str, Any]:
    """The generation whose prompt has ``question`` in it; each question is asked once."""
    found = [one for one in served[0].requests if question in text.decode(one["prompt"])]
    assert found, "no replica was asked this"
    return found[-1]


def by_chat(served: Fleet, question: str) -> tuple[str, str]:
    whole = chat(served, question, max_tokens=20)["choices"][0]["message"]["content"]
    body = {"messages": [{"role": "user", "content": question}], "max_tokens": 20, "stream": True}
    chunks = events(post(served, "/v1/chat/completions", body))
    return whole, "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks)


def by_completions(served: Fleet, question: str) -> tuple[str, str]:
    body = {"prompt": question, "max_tokens": 20}
    whole = post(served, "/v1/completions", body).json()["choices"][0]["text"]
    chunks = events(post(served, "/v1/completions", {**body, "stream": True}))
    return whole, "".join(one["choices"][0]["text"] for one in chunks)


def by_responses(served: Fleet, question: str) -> tuple[str, str]:
    body = {"input": question, "max_output_tokens": 20}
    whole = post(served, "/v1/responses", body).json()["output"][-1]["content"][0]["text"]
    streamed = events(post(served, "/v1/responses", {**body, "stream": True}))
    return whole, "".join(one["delta"] for one in streamed if one["type"] == "response.output_text.delta")


def by_messages(served: Fleet, question: str) -> tuple[str, str]:
    body = {"messages": [{"role": "user", "content": question}], "max_tokens": 20}
    whole = post(served, "/v1/messages", body).json()["content"][0]["text"]
    streamed = events(post(served, "/v1/messages", {**body, "stream": True}))
    return whole, "".join(one["delta"]["text"] for one in streamed if one["type"] == "content_block_delta")


DOORS = [by_chat, by_completions, by_responses, by_messages]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_whole_and_streamed_answers_are_what_the_replica_said(
    served: Fleet, text: ModelText, door: Callable[[Fleet, str], tuple[str, str]]
) -> None:
    question = f"A question through {door.__name__}?"
    whole, streamed = door(served, question)
    expected = served[0].said(asked(served, question, text), text)
    assert expected.strip()
    assert (whole.strip(), streamed.strip()) == (expected.strip(), expected.strip())


def test_usage_counts_what_the_replica_counted(served: Fleet, text: ModelText) -> None:
    question = "How are these tokens counted, all of them and those that were there before?"
    first, second = (chat(served, question, max_tokens=20)["usage"] for _ in range(2))
    prompt = asked(served, question, text)["prompt"]
    assert first["prompt_tokens"] == len(prompt)
    assert second["completion_tokens"] == 20
    assert second["prompt_tokens_details"]["cached_tokens"] == (len(prompt) - 1) // 16 * 16


def test_an_answer_ends_by_itself(served: Fleet, text: ModelText) -> None:
    question = "When does this answer end?"
    choice = chat(served, question, max_tokens=200)["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"].strip() == served[0].said(asked(served, question, text), text).strip()


def test_a_stop_text_ends_it(served: Fleet, text: ModelText) -> None:
    question = "What does a stop text do?"
    said = chat(served, question, max_tokens=30)["choices"][0]["message"]["content"]
    stop = said[8:10]
    choice = chat(served, question, max_tokens=30, stop=[stop])["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == said[: said.index(stop)].rstrip(" ")
    asked_for = {
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 30,
        "stop_sequences": [stop],
    }
    message = post(served, "/v1/messages", asked_for).json()
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", stop)


def test_choices_come_together_and_their_prompt_counts_once(served: Fleet) -> None:
    answer = chat(served, "How many answers?", n=3, max_tokens=6, temperature=1)
    assert [one["index"] for one in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["completion_tokens"] == 18
    assert answer["usage"]["prompt_tokens"] < 60


def test_logprobs_are_the_replicas(served: Fleet, text: ModelText) -> None:
    choice = chat(served, "How likely?", max_tokens=6, logprobs=True, top_logprobs=3)["choices"][0]
    content = choice["logprobs"]["content"]
    assert len(content) == 6
    said = b"".join(bytes(one["bytes"]) for one in content).decode()
    assert said.strip() == choice["message"]["content"].strip()
    for one in content:
        assert one["top_logprobs"][0]["logprob"] == one["logprob"] < 0
        assert len(one["top_logprobs"]) == 3


@pytest.mark.parametrize("form", FORMS, ids=lambda form: json.dumps(form[0])[:50])
def test_answers_are_held_to_a_form(
    served: Fleet, form: tuple[dict[str, Any], Callable[[str], bool]]
) -> None:
    fields, fits = form
    choice = chat(served, "Is the sky blue?", max_tokens=200, **fields)["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert fits(choice["message"]["content"]), choice


def test_a_call_is_read_out_of_the_text(served: Fleet) -> None:
    call = '<tool_call>\n{"name": "weather", "arguments": {"place": "Gent"}}\n</tool_call>'
    served[0].set(say=[f"I will look.\n{call}"])
    function = {"name": "weather", "description": "", "parameters": WEATHER}
    answer = chat(served, "Rain in Gent?", max_tokens=200, tools=[{"type": "function", "function": function}])
    served[0].set(say=[])
    (choice,) = answer["choices"]
    (found,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"].strip() == "I will look."
    assert (found["function"]["name"], json.loads(found["function"]["arguments"])) == (
        "weather",
        {"place": "Gent"},
    )


def test_a_required_call_is_enforced_in_every_dialect(served: Fleet) -> None:
    function = {"name": "weather", "description": "", "parameters": WEATHER}
    tools: list[dict[str, Any]] = [{"type": "function", "function": function}]
    choice = chat(served, "Rain?", max_tokens=200, tools=tools, tool_choice="required")["choices"][0]
    assert [one["function"]["name"] for one in choice["message"]["tool_calls"]] == ["weather"]
    body: dict[str, Any] = {
        "input": "Rain?",
        "max_output_tokens": 200,
        "tools": [{"type": "function", **function}],
        "tool_choice": "required",
    }
    items = post(served, "/v1/responses", body).json()["output"]
    assert [one["name"] for one in items if one["type"] == "function_call"] == ["weather"]
    body = {
        "messages": [{"role": "user", "content": "Rain?"}],
        "max_tokens": 200,
        "tools": [{"name": "weather", "input_schema": WEATHER}],
        "tool_choice": {"type": "any"},
    }
    message = post(served, "/v1/messages", body).json()
    assert message["stop_reason"] == "tool_use"
    (block,) = [one for one in message["content"] if one["type"] == "tool_use"]
    assert isinstance(block["input"]["place"], str)


def test_thoughts_are_told_from_the_answer(served: Fleet, thinker: FakeFleet) -> None:
    thought, question = "Hm.\n\nThe sky.", [{"role": "user", "content": "Is it blue?"}]
    body: dict[str, Any] = {"model": THINKER, "messages": question, "max_tokens": 60}
    thinker.set(say=[f"{thought}\n</think>\n\nYes."] * 3)
    message = post(served, "/v1/chat/completions", body).json()["choices"][0]["message"]
    assert (message["reasoning_content"].strip(), message["content"].strip()) == (thought, "Yes.")
    chunks = events(post(served, "/v1/chat/completions", {**body, "stream": True}))
    deltas = [one["choices"][0]["delta"] for one in chunks if one["choices"]]
    assert "".join(one.get("reasoning_content") or "" for one in deltas).strip() == thought
    assert "".join(one.get("content") or "" for one in deltas).strip() == "Yes."
    blocks = post(served, "/v1/messages", body).json()["content"]
    assert [(one["type"], (one.get("thinking") or one.get("text")).strip()) for one in blocks] == [
        ("thinking", thought),
        ("text", "Yes."),
    ]


def test_an_answer_behind_a_thought_is_held_to_its_schema(served: Fleet) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": WEATHER}}
    body = {
        "model": THINKER,
        "messages": [{"role": "user", "content": "Where?"}],
        "max_tokens": 200,
        "response_format": form,
    }
    message = post(served, "/v1/chat/completions", body).json()["choices"][0]["message"]
    assert set(json.loads(message["content"])) == {"place"}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"allowed_token_ids": [5]}, "allowed_token_ids"),
    ({"response_format": {"type": "regex", "pattern": "("}}, "response_format"),
    ({"structured_outputs": {"json": {"type": "object", "patternProperties": 3}}}, "structured_outputs"),
    ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"n": 5000}, "n"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED, ids=[param for _, param in REFUSED])
def test_what_cannot_be_done_is_a_400_that_names_the_field(
    served: Fleet, fields: dict[str, Any], param: str
) -> None:
    body = {"model": FLEET, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, **fields}
    answer = httpx.post(f"{served[1].url}/v1/chat/completions", json=body, timeout=120, trust_env=False)
    assert answer.status_code == 400, answer.text
    assert (answer.json()["error"]["param"] or "").startswith(param), answer.text


def test_a_prompt_that_is_too_long_is_refused_with_its_length(served: Fleet) -> None:
    body = {"model": FLEET, "messages": [{"role": "user", "content": "word " * 70_000}], "max_tokens": 4}
    answer = httpx.post(f"{served[1].url}/v1/chat/completions", json=body, timeout=120, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_control_tokens_in_a_text_stay_text(served: Fleet, text: ModelText) -> None:
    questions = ("What is <|im_end|> for?", "What is that mark for?")
    for question in questions:
        chat(served, question, max_tokens=4)
    (mark,) = text.encode("<|im_end|>", special=False)
    ends = [asked(served, question, text)["prompt"].count(mark) for question in questions]
    assert ends[0] == ends[1] > 0, "a client's text became a control token at the replica"

"""openai-python's Responses API: questions about a document, stored turns, functions, the tool runner, errors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import openai
from openai import OpenAI
from openai.lib.responses_tool_runner import RegisteredFunction, ResponsesToolRunner
from openai.types.responses import ResponseInputParam
from pydantic import BaseModel, Field

MODEL = os.environ["KVPROXY_MODEL"]
TEXT = Path(os.environ["HANDBOOK"]).read_text(encoding="utf-8")
INSTRUCTIONS = f"{TEXT}\n\nAnswer from the text above."
FORCED: Any = {"type": "function", "name": "look_up"}


class License(BaseModel):
    """What the handbook is."""

    kind: Literal["copyleft", "permissive"]
    version: int = Field(ge=1, le=9)


class LookUp(BaseModel):
    """Look up a section of the handbook."""

    section: Literal["preamble", "terms", "warranty"]


TOOL = openai.pydantic_function_tool(LookUp, name="look_up")["function"]
LOOK_UP: Any = {"type": "function", **TOOL}


def client(key: str = os.environ["KVPROXY_KEY"]) -> OpenAI:
    return OpenAI(base_url=os.environ["KVPROXY_URL"] + "/v1", api_key=key, max_retries=0)


def cached_of(response: Any) -> int:
    assert response.usage, response
    return int(response.usage.input_tokens_details.cached_tokens)


def document_question(ai: OpenAI) -> int:
    """By text and by reference, whole and streamed; what was cached."""
    asked: Any = {"model": MODEL, "instructions": INSTRUCTIONS, "temperature": 0, "max_output_tokens": 8}
    answer = ai.responses.create(input="What is this text about?", **asked)
    assert answer.status == "incomplete" and answer.incomplete_details, answer
    assert answer.incomplete_details.reason == "max_output_tokens", answer
    assert answer.output_text, answer
    cached = cached_of(answer)
    assert answer.usage and 1_000 < cached < answer.usage.input_tokens, answer.usage

    with ai.responses.stream(input="What is this text about?", **asked) as stream:
        events = list(stream)
    kinds = [event.type for event in events]
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == answer.output_text, (said, answer.output_text)
    assert kinds[0] == "response.created" and kinds[-1] == "response.incomplete", kinds
    last = events[-1]
    assert last.type == "response.incomplete" and cached_of(last.response) >= cached, last

    raw = list(ai.responses.create(input="What is this text about?", stream=True, **asked))
    assert [event.sequence_number for event in raw] == list(range(len(raw))), raw

    reference: Any = [
        {
            "role": "system",
            "content": [
                {"type": "kv_document", "document": "handbook"},
                {"type": "input_text", "text": "\nAnswer from the text above."},
            ],
        },
        {"role": "user", "content": "What is this text about?"},
    ]
    again = ai.responses.create(model=MODEL, input=reference, temperature=0, max_output_tokens=8)
    assert again.usage and again.usage.input_tokens == answer.usage.input_tokens, (again.usage, answer.usage)
    assert again.output_text == answer.output_text, (again, answer)
    counted = ai.responses.input_tokens.count(
        model=MODEL, instructions=INSTRUCTIONS, input="What is this text about?"
    )
    assert counted.input_tokens == answer.usage.input_tokens, (counted, answer.usage)
    return cached


def stored_turns(ai: OpenAI) -> None:
    """A conversation that the server keeps: continued by its id, read, listed and deleted."""
    asked: Any = {"model": MODEL, "temperature": 0, "max_output_tokens": 6}
    system: Any = {"role": "system", "content": INSTRUCTIONS}
    first = ai.responses.create(input=[system, {"role": "user", "content": "What is this?"}], **asked)
    assert first.store is not False, first
    with ai.responses.stream(
        input="Why?", previous_response_id=first.id, metadata={"turn": "2"}, **asked
    ) as stream:
        last = list(stream)[-1]
    assert last.type == "response.incomplete", last
    second = last.response
    assert second.previous_response_id == first.id and second.metadata == {"turn": "2"}, second
    assert first.usage and second.usage, second
    assert second.usage.input_tokens > first.usage.total_tokens, (second.usage, first.usage)
    assert cached_of(second) > 1_000, second.usage
    assert ai.responses.retrieve(second.id).output == second.output
    items = list(ai.responses.input_items.list(second.id, order="asc", limit=1))
    assert [item.type for item in items] == ["message"] * len(items) and len(items) >= 1, items
    ai.responses.delete(first.id)
    error = refused(openai.NotFoundError, lambda: ai.responses.retrieve(first.id))
    assert error.request_id, error
    error = refused(
        openai.BadRequestError,
        lambda: ai.responses.create(input="Why?", previous_response_id=first.id, **asked),
    )
    assert error.code == "previous_response_not_found" and error.param == "previous_response_id", error
    unkept = ai.responses.create(input="Hello", store=False, **asked)
    refused(openai.NotFoundError, lambda: ai.responses.retrieve(unkept.id))


def function_calls(ai: OpenAI) -> int:
    """Parsed arguments, whole and streamed; results go back by id and as explicit items."""
    asked: Any = {"model": MODEL, "instructions": INSTRUCTIONS, "temperature": 0}
    called = ai.responses.parse(
        input="Where are the terms?", tools=[LOOK_UP], tool_choice=FORCED, max_output_tokens=80, **asked
    )
    assert called.status == "completed" and len(called.output) == 1, called
    call = called.output[0]
    assert call.type == "function_call" and call.name == "look_up", call
    LookUp.model_validate_json(call.arguments)
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "In section 2."}
    answer = ai.responses.create(
        input=[result], previous_response_id=called.id, tools=[LOOK_UP], max_output_tokens=8, **asked
    )
    assert answer.usage and called.usage, answer
    assert answer.usage.input_tokens > called.usage.input_tokens and cached_of(answer) > 1_000, answer.usage
    assert answer.output_text or any(item.type == "function_call" for item in answer.output), answer

    question: ResponseInputParam = [{"role": "user", "content": "Where is the warranty?"}]
    with ai.responses.stream(
        input=question, tools=[LOOK_UP], tool_choice="required", max_output_tokens=80, store=False, **asked
    ) as stream:
        events = list(stream)
        final = stream.get_final_response()
    deltas = [e for e in events if e.type == "response.function_call_arguments.delta"]
    done = [e for e in events if e.type == "response.function_call_arguments.done"]
    calls = [item for item in final.output if item.type == "function_call"]
    assert len(deltas) > 1 and deltas[-1].snapshot == calls[-1].arguments, (deltas, calls)
    assert [e.arguments for e in done] == [c.arguments for c in calls], (done, calls)
    results: Any = [
        {"type": "function_call_output", "call_id": c.call_id, "output": "In section 15."} for c in calls
    ]
    history: Any = [*question, *(item.to_dict() for item in final.output), *results]
    last = ai.responses.create(input=history, store=False, max_output_tokens=8, **asked)
    assert last.output_text and cached_of(last) > 1_000, last
    return 2


def structured_output(ai: OpenAI) -> None:
    asked: Any = {"model": MODEL, "instructions": INSTRUCTIONS, "temperature": 0, "max_output_tokens": 60}
    parsed = ai.responses.parse(input="What license is this?", text_format=License, **asked)
    assert isinstance(parsed.output_parsed, License), parsed
    with ai.responses.stream(input="What license is this?", text_format=License, **asked) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_parsed == parsed.output_parsed, (final, parsed)
    done = [event for event in events if event.type == "response.output_text.done"]
    assert [event.parsed for event in done] == [parsed.output_parsed], done
    logged = ai.responses.create(
        input="Hello",
        include=["message.output_text.logprobs"],
        top_logprobs=2,
        **{**asked, "max_output_tokens": 3},
    )
    part: Any = logged.output[0]
    assert len(part.content[0].logprobs) == 3, part
    assert all(len(token.top_logprobs) == 2 for token in part.content[0].logprobs), part


def tool_runner(ai: OpenAI) -> int:
    """The runner asks, runs the function, sends its result and reads the answer; whole and streamed.

    It takes no forced call, so an earlier exchange in its history shows the model the way.
    """
    asked: list[str] = []

    def look_up(wanted: LookUp) -> str:
        asked.append(wanted.section)
        return "It is in section 15."

    tool = openai.pydantic_responses_function_tool(LookUp, name="look_up")
    runner = ResponsesToolRunner(functions=[RegisteredFunction.from_tool(tool, execute=look_up)])
    params: Any = {
        "model": MODEL,
        "instructions": INSTRUCTIONS,
        "input": [
            *exchange("preamble", 1),
            *exchange("terms", 2),
            {"role": "user", "content": "Find warranty."},
        ],
        "temperature": 0,
        "max_output_tokens": 60,
        "text": {"format": SECTION},
        "parallel_tool_calls": False,
    }
    answer = runner.run(ai, params, max_steps=3)
    assert len(asked) == 1, asked
    assert json.loads(answer.output_text)["section"] in range(1, 18), answer
    assert cached_of(answer) > 1_000, answer.usage

    seen: list[str] = []
    streamed = runner.run(
        ai, params, max_steps=3, stream=True, eager=True, on_event=lambda e: seen.append(e.type)
    )
    assert len(asked) == 2 and asked[0] == asked[1], asked
    assert streamed.output_text == answer.output_text, (streamed, answer)
    assert seen.count("response.completed") == 2, seen
    return len(asked)


SECTION = {
    "type": "json_schema",
    "name": "section",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {"section": {"type": "integer", "minimum": 1, "maximum": 17}},
        "required": ["section"],
        "additionalProperties": False,
    },
}


def exchange(section: str, number: int) -> list[Any]:
    call = {"name": "look_up", "arguments": json.dumps({"section": section}), "call_id": f"call_{number}"}
    return [
        {"role": "user", "content": f"Find {section}."},
        {"type": "function_call", **call},
        {
            "type": "function_call_output",
            "call_id": f"call_{number}",
            "output": f"It is in section {number}.",
        },
        {"role": "assistant", "content": json.dumps({"section": number})},
    ]


def refused(kind: type[openai.OpenAIError], call: Callable[[], object]) -> Any:
    """The client's own exception."""
    try:
        answer = call()
    except kind as e:
        return e
    raise AssertionError(f"not a {kind.__name__}: {answer}")


CRM: Any = {
    "type": "namespace",
    "name": "crm",
    "description": "The customers.",
    "tools": [{**LOOK_UP, "defer_loading": True}],
}
PICK: Any = {
    "type": "custom",
    "name": "pick",
    "description": "Picks a color.",
    "format": {"type": "grammar", "syntax": "regex", "definition": "(red|green)\\n"},
}


def tools_in_other_shapes(ai: OpenAI) -> int:
    """A namespace's function, a free-form tool, built-ins that the client runs, and one that this server cannot run."""
    tools: Any = [CRM, PICK, {"type": "shell", "environment": {"type": "local"}}, {"type": "web_search"}]
    asked: Any = {
        "model": MODEL,
        "tools": tools,
        "temperature": 0,
        "max_output_tokens": 96,
        "input": "Go on.",
    }
    raw = ai.responses.with_raw_response.create(
        **asked,
        tool_choice={
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "namespace", "name": "crm"}],
        },
    )
    assert raw.headers["x-kvproxy-left-out"] == '"tools[3]: web_search"', raw.headers
    call = raw.parse().output[-1]
    assert call.type == "function_call" and (call.namespace, call.name) == ("crm", "look_up"), call
    LookUp.model_validate_json(call.arguments)
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Nothing."}
    with ai.responses.stream(
        **{
            **asked,
            "input": [{"role": "user", "content": "Go on."}, call.model_dump(exclude_none=True), result],
        },
        tool_choice={"type": "custom", "name": "pick"},
    ) as stream:
        deltas = [e.delta for e in stream if e.type == "response.custom_tool_call_input.delta"]
        picked = stream.get_final_response().output[-1]
    assert picked.type == "custom_tool_call" and picked.input in ("red\n", "green\n"), picked
    assert "".join(deltas) == picked.input, deltas
    ran = ai.responses.create(**asked, tool_choice={"type": "shell"}).output[-1]
    assert ran.type in ("shell_call", "function_call"), ran  # a function's where it was cut off
    return 1


def errors(ai: OpenAI) -> None:
    """Each arrives as the client's own class, with code and param."""
    create = ai.responses.create
    e = refused(openai.NotFoundError, lambda: create(model="no-such-model", input="Hello"))
    assert e.code == "model_not_found" and e.param == "model" and e.request_id, e
    e = refused(openai.BadRequestError, lambda: create(model=MODEL, input="Hello", temperature=9))
    assert e.param == "temperature", e
    e = refused(openai.BadRequestError, lambda: create(model=MODEL, input="Hello", background=True))
    assert e.param == "background" and e.code == "unsupported_parameter", e
    search: Any = [{"type": "web_search"}]
    e = refused(
        openai.BadRequestError,
        lambda: create(model=MODEL, input="Hello", tools=search, tool_choice={"type": "web_search_preview"}),
    )
    assert e.param in ("tool_choice", "tool_choice.type"), e
    result: Any = [{"type": "function_call_output", "call_id": "call_of_nobody", "output": "?"}]
    cut = create(model=MODEL, input=result, max_output_tokens=4)  # as clients that cut their history send it
    assert cut.usage and cut.usage.input_tokens > 0, cut
    e = refused(openai.BadRequestError, lambda: create(model=MODEL, input="word " * 9_000))
    assert e.code == "context_length_exceeded", e
    stranger = client("not-the-key").responses
    e = refused(openai.AuthenticationError, lambda: stranger.create(model=MODEL, input="Hello"))
    assert e.code == "invalid_api_key", e


def main() -> None:
    with client() as ai:
        cached = document_question(ai)
        stored_turns(ai)
        results = function_calls(ai)
        structured_output(ai)
        results += tool_runner(ai)
        results += tools_in_other_shapes(ai)
        errors(ai)
    print(json.dumps({"cached_tokens": cached, "tool_results": results}))


if __name__ == "__main__":
    main()

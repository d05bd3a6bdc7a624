"""Histories as clients really send them, through each door to a prompt: none is refused, and no word is lost."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import ChatRequest
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.wire.anthropic.parse_messages import parse_count, parse_messages
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.chat.parse_chat import parse_chat
from kvproxy.wire.responses.conversation_items import normal_items
from kvproxy.wire.responses.parse_response import to_chat
from kvproxy.wire.responses.response_body import parse_body
from kvproxy.wire.responses.response_ids import ResponseIds
from tests.documents import templates
from tests.documents.conversation import ALICE
from tests.documents.models import SMOLLM2_TEMPLATE, write_model

SOURCES = {
    "smollm2": SMOLLM2_TEMPLATE,
    "qwen3.5": templates.QWEN35,
    "gemma": templates.GEMMA,
    "mistral": templates.STRICT_MISTRAL,
    "llama3": templates.LLAMA3,
}
ENDED = [{"role": "assistant", "content": "Well."}, {"role": "user", "content": "Go on."}]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(write_model(tmp_path_factory.mktemp("model"), "qwen3"))


def chat(*history: Any) -> ChatRequest:
    return parse_chat({"model": "m", "messages": [*history, *ENDED]}, served_name="m")


def claude(*history: Any) -> ChatRequest:
    return parse_messages({"model": "m", "max_tokens": 9, "messages": [*history, *ENDED]})


def responses(*history: Any) -> ChatRequest:
    body, reading = parse_body({"model": "m", "input": [*history, *ENDED]}), RequestReading()
    items = normal_items(body.input or (), ResponseIds("0" * 32), {}, reading)
    return to_chat(body, items, served_name="m", reading=reading)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


def call(id: Any = "call_1", **function: Any) -> dict[str, Any]:
    return {
        "id": id,
        "type": "function",
        "function": {"name": "look", "arguments": '{"at": "zq_at"}', **function},
    }


def tool(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "call_1", "content": content, **fields}


def use(**fields: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "zq_at"}, **fields}


def answer(content: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **fields}


def made(**fields: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": "call_1",
        "name": "look",
        "arguments": '{"at": "zq_at"}',
        **fields,
    }


def output(value: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "call_1", "output": value, **fields}


CHATS: dict[str, tuple[Any, ...]] = {
    "null of a user": (user(None),),
    "no parts of a user": (user([]),),
    "no content of a user": ({"role": "user"},),
    "null of a system": ({"role": "system", "content": None}, user("zq_one")),
    "empty answers": (user("zq_one"), assistant(""), user("zq_two"), assistant([]), user("x"), assistant(None)),
    "blank answer": (user("zq_one"), assistant(" \n")),
    "null text in a part": (user([{"type": "text", "text": None}, {"type": "text", "text": "zq_one"}]),),
    "a part without a type": (user([{"text": "zq_one"}]),),
    "texts as parts": (user(["zq_one", "zq_two"]),),
    "a part of an unknown type": (user([{"type": "thing", "text": "zq_one"}]),),
    "a video": (user([{"type": "video_url", "video_url": {"url": "x"}}]),),
    "a file in an answer": (user("x"), assistant([{"type": "file", "file": {"filename": "zq_one.pdf"}}])),
    "audio of an answer": (user("x"), assistant(None, audio={"id": "a", "transcript": "zq_one"})),
    "null result": (user("x"), assistant(None, tool_calls=[call()]), tool(None)),
    "no content of a result": (
        user("x"), assistant(None, tool_calls=[call()]), {"role": "tool", "tool_call_id": "call_1"},
    ),
    "values as results": (
        user("x"),
        assistant(None, tool_calls=[call("a"), call("b"), call("c")]),
        tool({"found": "zq_one"}, tool_call_id="a"),
        tool([{"found": "zq_two"}], tool_call_id="b"),
        tool(7, tool_call_id="c"),
    ),
    "orphan": (tool("zq_one"),),
    "orphan behind a question": (user("x"), tool("zq_one")),
    "two results": (user("x"), assistant(None, tool_calls=[call()]), tool("zq_one"), tool("zq_two")),
    "no id": (user("x"), assistant(None, tool_calls=[call(None)]), {"role": "tool", "content": "zq_one"}),
    "same ids": (user("x"), assistant(None, tool_calls=[call(), call()]), tool("zq_one"), tool("zq_two")),
    "function without a call": (user("x"), {"role": "function", "name": "f", "content": "zq_one"}),
    "a call without a result": (user("zq_one"), assistant(None, tool_calls=[call()])),
    "arguments that are no JSON": (user("x"), assistant(None, tool_calls=[call(arguments="{zq_at")]), tool("y")),
    "no arguments": (user("zq_at"), assistant(None, tool_calls=[call(arguments="")]), tool("y")),
    "null arguments": (user("zq_at"), assistant(None, tool_calls=[call(arguments=None)]), tool("y")),
    "arguments as an object": (user("x"), assistant(None, tool_calls=[call(arguments={"at": "zq_at"})]), tool("y")),
    "a call without a name": (user("x"), assistant(None, tool_calls=[call(name="")]), tool("zq_one")),
    "a custom call": (
        user("x"),
        assistant(None, tool_calls=[{"id": "call_1", "type": "custom", "custom": {"name": "f", "input": "zq_one"}}]),
        tool("zq_two"),
    ),
    "a call that lost its function": (user("x"), assistant("zq_one", tool_calls=[{"id": "call_1"}]), tool("zq_two")),
    "half a character": (user("x"), assistant(None, tool_calls=[call()]), tool("zq_one \ud83d")),
}  # fmt: skip

CLAUDES: dict[str, tuple[Any, ...]] = {
    "no blocks": (user([]), assistant([]), user(None)),
    "empty texts": (user([{"type": "text", "text": ""}]), assistant("")),
    "null text": (user([{"type": "text", "text": None}, {"type": "text", "text": "zq_one"}]),),
    "a block without a type": (user([{"text": "zq_one"}]),),
    "a PDF behind a tool": (
        user("x"),
        assistant([use()]),
        user([answer("zq_one"), {"type": "document", "title": "zq_two", "source": {"type": "base64", "data": "x"}}]),
    ),
    "orphan": (user([answer("zq_one")]),),
    "a result twice": (user("x"), assistant([use()]), user([answer("zq_one"), answer("zq_two")])),
    "no result": (user("x"), assistant([use()]), user("zq_one")),
    "some results": (user("x"), assistant([use(), use(id="toolu_2")]), user([answer("zq_one")])),
    "a late result": (user("x"), assistant([use()]), user("y"), assistant("z"), user([answer("zq_one")])),
    "results of every kind": (
        user("x"),
        assistant([use()]),
        user([answer([
            "zq_one",
            {"type": "tool_reference", "tool_name": "zq_two"},
            {"type": "search_result", "source": "s", "title": "zq_three", "content": [],
             "citations": {"enabled": True}},
            {"type": "thing", "text": "zq_four"},
        ])]),
    ),
    "a result that is an object": (user("x"), assistant([use()]), user([answer({"type": "text", "text": "zq_one"})])),
    "values as results": (
        user("x"),
        assistant([use(), use(id="b")]),
        user([answer({"found": "zq_one"}), answer([{"found": "zq_two"}], tool_use_id="b")]),
    ),
    "input as text": (user("x"), assistant([use(input='{"at": "zq_at"}')]), user([answer("y")])),
    "no input": (user("zq_at"), assistant([use(input=None)]), user([answer("y")])),
    "lost names": (user("x"), assistant([use(id=None, name=None)]), user([answer("zq_one", tool_use_id=None)])),
    "search by the server": (
        user("x"),
        assistant([
            {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "zq_one"}},
            {"type": "web_search_tool_result", "tool_use_id": "srv_1",
             "content": [{"type": "web_search_result", "title": "zq_two", "encrypted_content": "A"}]},
            {"type": "text", "text": "zq_three"},
        ]),
    ),
    "mcp": (
        user("x"),
        assistant([
            {"type": "mcp_tool_use", "id": "m", "name": "zq_one", "server_name": "s", "input": {}},
            {"type": "mcp_tool_result", "tool_use_id": "m", "content": [{"type": "text", "text": "zq_two"}]},
        ]),
    ),
    "others": (
        user([{"type": "container_upload", "file_id": "f"}, {"type": "text", "text": "zq_one"}]),
        assistant([{"type": "compaction", "content": "zq_two"}, {"type": "fallback", "x": 1},
                   {"type": "redacted_thinking", "data": "A"}, {"type": "thinking", "thinking": None}]),
    ),
    "blocks of the other side": (user([use(), {"type": "thinking", "thinking": "h"}]), assistant([answer("zq_one")])),
    "a system message": (user("zq_one"), {"role": "system", "content": "zq_two"}),
}  # fmt: skip

ITEMS: dict[str, tuple[Any, ...]] = {
    "no content": (user([]), assistant([]), user(None), assistant(None), {"role": "user"}),
    "a part of an unknown type": (user([{"type": "thing", "text": "zq_one"}, {"text": "zq_two"}]),),
    "an image of an answer": (user("x"), assistant([{"type": "output_image", "image_url": "x"}, "zq_one"])),
    "outputs of every shape": (
        user("x"),
        made(), output({"found": "zq_one"}),
        made(call_id="g"), output([{"found": "zq_four"}], call_id="g"),
        made(call_id="b"), output(["zq_two", {"type": "input_image", "image_url": "x"}], call_id="b"),
        made(call_id="c"), output(None, call_id="c"),
        made(call_id="d"), {"type": "function_call_output", "call_id": "d"},
        made(call_id="e"), output(7, call_id="e"),
        made(call_id="f"), output({"type": "input_text", "text": "zq_three"}, call_id="f"),
    ),
    "orphan": (output("zq_one"),),
    "an output twice": (user("x"), made(), output("zq_one"), output("zq_two")),
    "no call id": (user("x"), made(call_id=None), output("zq_one", call_id=None)),
    "lost fields": (user("zq_at"), {"type": "function_call", "call_id": "call_1"}, output("zq_one")),
    "arguments as an object": (user("x"), made(arguments={"at": "zq_at"}), output("y")),
    "arguments that are no JSON": (user("x"), made(arguments="{zq_at"), output("y")),
    "reasoning that others made": (
        user("zq_one"),
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "A"},
        {"type": "reasoning", "id": "rs_2", "summary": None, "content": None},
        {"type": "reasoning", "summary": [{"type": "summary_text"}, {"type": "odd", "text": "h"}]},
        assistant("zq_two"),
    ),
    "references that expired": (user("zq_one"), {"type": "item_reference", "id": "msg_1"}, {"id": "rs_1"}),
    "searches": (
        user("x"),
        {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "zq_one"}},
        {"type": "file_search_call", "id": "fs", "queries": ["q"], "results": [{"text": "zq_two"}]},
        assistant("zq_three"),
    ),
    "others": (
        user("x"),
        {"type": "image_generation_call", "id": "ig", "result": "A"},
        {"type": "code_interpreter_call", "code": "zq_one", "outputs": [{"type": "logs", "logs": "zq_two"}]},
        {"type": "computer_call", "id": "cc", "call_id": "c", "action": {"type": "click", "x": 1, "y": 2}},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "x"}},
        {"type": "mcp_list_tools", "id": "m", "server_label": "s", "tools": []},
        {"type": "mcp_call", "id": "m2", "name": "f", "arguments": "{}", "output": "zq_three"},
        {"type": "shell_call_output", "call_id": "s", "output": [{"stdout": "zq_four", "stderr": ""}]},
        {"type": "tool_search_output", "tools": []},
        {"type": "compaction", "encrypted_content": "A"},
        {"type": "made_up_tomorrow", "anything": {"at": "all"}},
    ),
    "long ids of others": (user("x"), made(id="x" * 500, call_id="y" * 300), output("zq_one", call_id="y" * 300)),
}  # fmt: skip

CASES = [
    pytest.param(door, history, id=f"{door.__name__}: {name}")
    for door, histories in ((chat, CHATS), (claude, CLAUDES), (responses, ITEMS))
    for name, history in histories.items()
]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize(("door", "history"), CASES)
def test_no_history_is_refused_and_no_word_is_lost(
    tokenizer: Tokenizer, source: str, door: Any, history: tuple[Any, ...]
) -> None:
    composer = Composer(tokenizer, ChatTemplate(source), Library())
    token_ids = composer.compose(door(*history), ALICE).token_ids
    text = tokenizer.decode(token_ids, skip_special=False)
    words = {word for word in _words(history)}
    assert [word for word in words if word not in text] == [], text
    assert text.count("Go on.") == 1


@pytest.mark.parametrize(("door", "history"), CASES)
def test_the_next_turn_begins_with_this_ones_tokens(
    tokenizer: Tokenizer, door: Any, history: tuple[Any, ...]
) -> None:
    composer = Composer(tokenizer, ChatTemplate(SMOLLM2_TEMPLATE), Library())
    before = composer.compose(door(*history), ALICE).token_ids
    for _ in range(2):
        history = (*history, *ENDED)
        now = composer.compose(door(*history), ALICE).token_ids
        assert now[: len(before)] == before
        before = now


def test_an_answer_that_is_begun_is_refused_and_counted() -> None:
    begun: dict[str, Any] = {
        "model": "m",
        "max_tokens": 9,
        "messages": [user("x"), assistant("The answer is")],
    }
    assert [m.role for m in parse_count(begun).messages] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("content", "roles"),
    [
        ("", ["user"]),
        ([], ["user"]),
        (" \n", ["user"]),
        ([{"type": "thinking", "thinking": "hm", "signature": "x"}], ["user"]),
        ([{"type": "text", "text": "Let me look."}, use()], ["user", "assistant"]),
        ([{"type": "server_tool_use", "name": "web_search", "input": {}}], ["user", "assistant"]),
    ],
)
def test_an_answer_at_the_end_that_begins_nothing(content: Any, roles: list[str]) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [user("x"), assistant(content)]}
    assert [m.role for m in parse_messages(body).messages] == roles


def _words(value: Any) -> Any:
    if isinstance(value, str):
        start = value.find("zq_")
        if start >= 0:
            yield value[start:].split('"')[0].split()[0]
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _words(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _words(inner)

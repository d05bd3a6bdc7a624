"""Work on a request grows with its length and no faster, at every door: four times as much takes no more than some
four times as long, by the processor's clock of one thread."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvproxy.core import Caller, ChatRequest
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.roles import Roles, arrange
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import KVProxyError
from kvproxy.runtime.garbage_collection import own_clock
from kvproxy.wire.anthropic.parse_messages import parse_messages
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.chat.parse_chat import parse_chat
from kvproxy.wire.history.notes import note
from kvproxy.wire.responses.conversation_items import normal_items
from kvproxy.wire.responses.parse_response import to_chat
from kvproxy.wire.responses.response_body import parse_body
from kvproxy.wire.responses.response_ids import ResponseIds
from tests.documents.models import write_model

FEW, TIMES, MOST = 200, 4, 8.0
"""Items of a short body, the factor of the long one, and the factor of time that it may take."""

_STRANGERS = (Caller("x", f"tenant:{number}") for number in itertools.count())
"""Callers for whom nothing is remembered."""

Body = dict[str, Any]


def _user(content: Any) -> Body:
    return {"role": "user", "content": content}


def _chat(*messages: Body, **more: Any) -> Body:
    return {"model": "m", "messages": [*messages], **more}


def _calls(count: int) -> Body:
    function = {"name": "f", "arguments": '{"a": 1}'}
    calls = [{"id": f"c{i}", "type": "function", "function": function} for i in range(count)]
    return {"role": "assistant", "tool_calls": calls}


def _results(count: int, name: Callable[[int], str] = "c{}".format) -> list[Body]:
    return [{"role": "tool", "tool_call_id": name(i), "content": f"result {i} " * 20} for i in range(count)]


def _tool(number: int, properties: int = 1) -> Body:
    schema = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(properties)}}
    return {"type": "function", "function": {"name": f"f{number}", "parameters": schema}}


def _nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value, "y"]
    return value


CHAT: dict[str, Callable[[int], Body]] = {
    "messages": lambda n: _chat(*[_user(f"{i} words") for i in range(n)]),
    "answers": lambda n: _chat(_user("q"), *[{"role": "assistant", "content": f"a {i}"} for i in range(n)]),
    "system messages": lambda n: _chat(
        *[{"role": "system", "content": f"s {i}"} for i in range(n)], _user("q")
    ),
    "late system messages": lambda n: _chat(
        _user("q"), *[{"role": "system", "content": f"s {i}"} for i in range(n)]
    ),
    "parts": lambda n: _chat(_user([{"type": "text", "text": f"{i} words"} for i in range(n)])),
    "marked parts": lambda n: _chat(
        _user([{"type": "text", "text": f"{i} words", "cache_control": {}} for i in range(n)])
    ),
    "results": lambda n: _chat(_user("q"), _calls(n), *_results(n)),
    "results in the opposite order": lambda n: _chat(_user("q"), _calls(n), *_results(n)[::-1]),
    "results that name no call": lambda n: _chat(_user("q"), _calls(n), *_results(n, lambda i: "")),
    "results of nothing": lambda n: _chat(_user("q"), *_results(n), _user("q")),
    "calls one by one": lambda n: _chat(
        _user("q"),
        *[m for i in range(n) for m in (_calls(1), {"role": "tool", "tool_call_id": "c0", "content": "r"})],
    ),
    "calls two by two without results": lambda n: _chat(_user("q"), *[_calls(2) for _ in range(n)]),
    "one long call": lambda n: _chat(
        _user("q"),
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "[" + "1," * 20 * n + "1]"}}],
        },
    ),
    "images": lambda n: _chat(
        _user([{"type": "image_url", "image_url": {"url": "x"}}] * n), _calls(1), _user("q")
    ),
    "properties of a tool": lambda n: _chat(_user("q"), tools=[_tool(0, n)]),
    "tools": lambda n: _chat(_user("q"), tools=[_tool(i) for i in range(n // 5)]),
    "faults": lambda n: _chat(_user([{}] * n)),
    "biases": lambda n: _chat(_user("q"), logit_bias={str(i): 1 for i in range(10 * n)}),
    "template variables": lambda n: _chat(
        _user("q"), chat_template_kwargs={f"v{i}": "x" for i in range(10 * n)}
    ),
}

INPUT: dict[str, Callable[[int], Body]] = {
    "items": lambda n: {"input": [_user(f"{i} words") for i in range(n)]},
    "results in the opposite order": lambda n: {
        "input": [
            *(
                {"type": "function_call", "call_id": f"c{i}", "name": "f", "arguments": "{}"}
                for i in range(n)
            ),
            *(
                {"type": "function_call_output", "call_id": f"c{i}", "output": "r"}
                for i in reversed(range(n))
            ),
        ]
    },
    "unknown items": lambda n: {
        "input": [*({"type": "web_search_call", "query": f"{i}"} for i in range(n)), _user("q")]
    },
    "found tools": lambda n: {"input": [{"type": "tool_search_output", "tools": []}] * n + [_user("q")]},
}

BLOCKS: dict[str, Callable[[int], Body]] = {
    "blocks": lambda n: _chat(_user([{"type": "text", "text": f"{i} words"} for i in range(n)])),
    "results in the opposite order": lambda n: _chat(
        _user("q"),
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": f"t{i}", "name": "f", "input": {}} for i in range(n)],
        },
        _user([{"type": "tool_result", "tool_use_id": f"t{i}", "content": "r"} for i in reversed(range(n))]),
    ),
}


def _responses(body: Body) -> ChatRequest:
    reading, ids = RequestReading(), ResponseIds("0" * 32)
    parsed = parse_body({"model": "m", **body}, reading)
    return to_chat(
        parsed, normal_items(parsed.input or (), ids, {}, reading), served_name="m", reading=reading
    )


DOORS: list[tuple[str, Callable[[Body], ChatRequest], Callable[[int], Body]]] = [
    *((f"chat: {name}", lambda body: parse_chat(body, served_name="m"), make) for name, make in CHAT.items()),
    *((f"responses: {name}", _responses, make) for name, make in INPUT.items()),
    *(
        (f"messages: {name}", lambda body: parse_messages({"max_tokens": 1, **body}), make)
        for name, make in BLOCKS.items()
    ),
]


@pytest.fixture(scope="module")
def composers(tmp_path_factory: pytest.TempPathFactory) -> list[Composer]:
    """One whose template knows tools, and one that writes calls and results as text."""
    made: list[Composer] = []
    for source in (None, _PLAIN):
        folder: Path = write_model(tmp_path_factory.mktemp("growth"), "qwen3")
        template = ChatTemplate.load(folder) if source is None else ChatTemplate(source)
        made.append(Composer(Tokenizer.load(folder), template, Library()))
    return made


_PLAIN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)


@pytest.fixture(autouse=True)
def _no_full_collection() -> Iterator[None]:
    """One looks at all that this process has imported, and would be charged to whoever runs just then."""
    with own_clock():
        yield


def cpu(work: Callable[[], object]) -> float:
    """Seconds of this thread, the least of up to three runs: as many as begin within a tenth of a second."""
    taken: list[float] = []
    while len(taken) < 3 and sum(taken) < 0.1:
        begun = time.thread_time()
        work()
        taken.append(time.thread_time() - begun)
    return min(taken)


def growth(work: Callable[[int], Callable[[], object]]) -> float:
    short, long = cpu(work(FEW)), cpu(work(FEW * TIMES))
    return long / max(short, 0.002)


@pytest.mark.parametrize(("parse", "make"), [door[1:] for door in DOORS], ids=[door[0] for door in DOORS])
def test_four_times_as_much_takes_some_four_times_as_long(
    composers: list[Composer], parse: Callable[[Body], ChatRequest], make: Callable[[int], Body]
) -> None:
    def work(count: int) -> Callable[[], object]:
        body = make(count)

        def serve() -> None:
            try:
                request = parse(body)
            except KVProxyError:
                return
            for composer in composers:
                composer.compose(request, next(_STRANGERS))

        return serve

    assert growth(work) < MOST


def test_merging_of_messages_is_linear() -> None:
    roles = Roles(late_system=False, repeated_user=False, repeated_assistant=False)

    def work(count: int) -> Callable[[], object]:
        entries = [
            {"role": role, "content": "x" * 500}
            for role in ("user", "assistant", "system")
            for _ in range(10 * count)
        ]
        return lambda: arrange(entries, roles)

    assert growth(work) < MOST


def test_notes_are_linear_in_breadth() -> None:
    def work(count: int) -> Callable[[], object]:
        item = {"type": "web_search_call", "results": [{"title": f"t{i}", "text": "x"} for i in range(count)]}
        return lambda: note(item)

    assert growth(work) < MOST

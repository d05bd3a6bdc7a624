from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import LeftOut
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.history.notes import kind_of, note, record_note

READS_TEXT = "omitted: this model reads text only]"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"type": "image", "source": {"type": "base64", "data": "AAAA"}}, f"[image {READS_TEXT}"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, f"[image {READS_TEXT}"),
        ({"type": "input_image", "image_url": "https://x/y.png"}, f"[image {READS_TEXT}"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA"}}, f"[audio {READS_TEXT}"),
        ({"type": "audio", "transcript": "Good morning."}, f"[audio {READS_TEXT}\nGood morning."),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "AAAA"}},
            f"[file {READS_TEXT}\na.pdf",
        ),
        ({"type": "input_file", "filename": "a.pdf", "file_data": "AAAA"}, f"[file {READS_TEXT}\na.pdf"),
        (
            {"type": "document", "title": "Terms", "source": {"type": "base64", "data": "AAAA"}},
            f"[file {READS_TEXT}\nTerms",
        ),
        (
            {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {"query": "kv"}},
            '[server_tool_use, shown as text]\nweb_search\n{"query": "kv"}',
        ),
        (
            {
                "type": "web_search_tool_result",
                "content": [
                    {
                        "encrypted_content": "AAAA",
                        "url": "https://a",
                        "type": "web_search_result",
                        "title": "A",
                    }
                ],
            },
            "[web_search_tool_result, shown as text]\nA\nhttps://a",
        ),
        (
            {
                "type": "code_execution_tool_result",
                "content": {"stdout": "4", "stderr": "", "return_code": 0},
            },
            "[code_execution_tool_result, shown as text]\n4",
        ),
        (
            {
                "type": "mcp_tool_result",
                "content": [{"type": "text", "text": "found"}, {"type": "image", "source": {"data": "AAAA"}}],
            },
            f"[mcp_tool_result, shown as text]\nfound\n[image {READS_TEXT}",
        ),
        (
            {
                "type": "web_fetch_tool_result",
                "content": {
                    "url": "https://a",
                    "content": {"type": "document", "source": {"type": "text", "data": "the page"}},
                },
            },
            "[web_fetch_tool_result, shown as text]\nhttps://a\nthe page",
        ),
        ({"type": "compaction", "content": "So far …"}, "[compaction, shown as text]\nSo far …"),
        (
            {"type": "compaction", "encrypted_content": "AAAA"},
            "[compaction omitted: this model cannot read it]",
        ),
        (
            {"type": "web_search_call", "action": {"type": "search", "query": "kv"}, "status": "completed"},
            "[web_search_call, shown as text]\nkv",
        ),
        (
            {"type": "file_search_call", "queries": ["a"], "results": [{"text": "b", "filename": "c"}]},
            "[file_search_call, shown as text]\na\nc\nb",
        ),
        (
            {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls", "-l"], "env": {}}},
            "[local_shell_call, shown as text]\nls\n-l",
        ),
        (
            {"type": "image_generation_call", "result": "AAAA"},
            "[image_generation_call omitted: this model cannot read it]",
        ),
        (
            {"type": "mcp_call", "name": "f", "arguments": "{}", "output": "done", "server_label": "s"},
            "[mcp_call, shown as text]\ns\nf\n{}\ndone",
        ),
        (
            {"type": "tool_reference", "tool_name": "WebFetch"},
            "[tool_reference, shown as text]\nWebFetch",
        ),
        ({"type": "fallback"}, "[fallback omitted: this model cannot read it]"),
        ({"type": 7}, "[item of an unknown type omitted: this model cannot read it]"),
        ({}, "[item of an unknown type omitted: this model cannot read it]"),
    ],
)
def test_notes(value: dict[str, Any], expected: str) -> None:
    assert note(value) == expected
    assert note(dict(reversed(value.items()))) == expected, "whatever the order of the fields"


def test_a_type_is_named_only_if_it_is_a_name() -> None:
    assert kind_of({"type": "web_search_call"}) == "web_search_call"
    assert kind_of({"type": "secret text of a client"}) == "item of an unknown type"
    assert kind_of({"type": "x" * 65}) == "item of an unknown type"


def test_a_noted_item_is_recorded_and_a_silent_one_is_not() -> None:
    reading = RequestReading()
    assert record_note({"type": "image"}, "messages[0].content[1]", reading).startswith("[image")
    assert record_note({"type": "mcp_list_tools", "tools": [{"name": "f"}]}, "input[1]", reading) == ""
    assert reading.left_out == [LeftOut("messages[0].content[1]", "image")]


def test_deep_items_end() -> None:
    value: dict[str, Any] = {"text": "deep"}
    for _ in range(5000):
        value = {"content": value}
    assert note({"type": "x", **value}) == "[x omitted: this model cannot read it]"


@pytest.mark.parametrize("kind", [["image"], {"a": 1}, 7, True, None])
def test_a_type_that_is_no_text_is_an_unknown_one(kind: object) -> None:
    assert kind_of({"type": kind}) == "item of an unknown type"
    assert note({"type": kind, "text": "words"}).endswith("words")
    assert record_note({"type": kind}, "input[0]", RequestReading())

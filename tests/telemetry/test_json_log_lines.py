"""JSON log lines: one object a line, with the request's ids, and nothing that a record does not say itself."""

from __future__ import annotations

import json
import logging
import re
import sys

from kvproxy.runtime.request_context import RequestContext, serving
from kvproxy.telemetry.json_log_lines import JsonLogLines, log_formatter


def record(message: str, *args: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("kvproxy.server", logging.WARNING, __file__, 1, message, args, None)
    vars(made).update(fields)
    return made


def test_a_line_is_one_object() -> None:
    line = JsonLogLines().format(record("%s:\nleft after %d ms", "req_1", 3, prompt="a secret", api_key="k"))
    assert "\n" not in line
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("timestamp"))
    assert told == {"level": "WARNING", "logger": "kvproxy.server", "message": "req_1:\nleft after 3 ms"}


def test_it_names_the_request_and_its_trace() -> None:
    with serving(RequestContext("req_1", "a" * 32, "b" * 16)):
        told = json.loads(JsonLogLines().format(record("here")))
    assert (told["request_id"], told["trace_id"], told["span_id"]) == ("req_1", "a" * 32, "b" * 16)
    with serving(RequestContext("req_2")):
        told = json.loads(JsonLogLines().format(record("here")))
    assert told["request_id"] == "req_2" and not {"trace_id", "span_id"} & set(told)
    assert "request_id" not in json.loads(JsonLogLines().format(record("elsewhere")))


def test_an_exception_is_in_its_line() -> None:
    try:
        raise ValueError("no room")
    except ValueError:
        failed = record("failed")
        failed.exc_info = sys.exc_info()
    told = json.loads(JsonLogLines().format(failed))
    assert told["exception"].startswith("Traceback") and told["exception"].endswith("ValueError: no room")


def test_text_stays_as_it_is() -> None:
    line = log_formatter("text").format(record("left"))
    assert re.fullmatch(r"[\d-]+ [\d:,]+ WARNING kvproxy\.server: left", line)
    assert isinstance(log_formatter("json"), JsonLogLines)

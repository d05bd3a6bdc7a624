"""`JsonLogLines`: the log as one JSON object a line, with the request and the trace that a line belongs to."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from kvproxy.runtime.request_context import current_request

MOST_MESSAGE = 8_192
"""Characters of a message; collectors cut or split lines of over 16 KiB."""

MOST_TRACEBACK = 16_384
"""Characters of a traceback, of its end."""


class JsonLogLines(logging.Formatter):
    """Formats records of the standard library's logging. A line holds the record's own fields alone, never the extra
    ones that a library may hang on it. It is ASCII: whatever a client sent, every encoding of the output can hold it,
    and no program takes one of Unicode's other line ends for the end of the line.

    Example: ``handler.setFormatter(JsonLogLines())``
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end. Raises nothing: a record whose arguments do not fit is told as it is."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "timestamp": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": _cut(_message(record), MOST_MESSAGE),
        }
        if (request := current_request()) is not None:
            line["request_id"] = request.request_id
            if request.trace_id:
                line["trace_id"], line["span_id"] = request.trace_id, request.span_id
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)[-MOST_TRACEBACK:]
        if record.stack_info:
            line["stack"] = record.stack_info[-MOST_TRACEBACK:]
        return json.dumps({name: value for name, value in line.items() if value})


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError) as e:
        return f"{record.msg} (its arguments do not fit: {type(e).__name__})"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


TEXT_LINES = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_formatter(form: str) -> logging.Formatter:
    """Return the formatter of ``telemetry.log_format``: ``text`` or ``json``.

    Example: ``handler.setFormatter(log_formatter("json"))``
    """
    return JsonLogLines() if form == "json" else logging.Formatter(TEXT_LINES)

"""`JsonLogLines`: the log as one JSON object a line, with the request and the trace that a line belongs to."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from kvproxy.runtime.request_context import current_request


class JsonLogLines(logging.Formatter):
    """Formats records of the standard library's logging. A line holds the record's own fields alone, never the extra
    ones that a library may hang on it.

    Example: ``handler.setFormatter(JsonLogLines())``
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "timestamp": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request := current_request()) is not None:
            line["request_id"] = request.request_id
            if request.trace_id:
                line["trace_id"], line["span_id"] = request.trace_id, request.span_id
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in line.items() if value}, ensure_ascii=False)


TEXT_LINES = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_formatter(form: str) -> logging.Formatter:
    """Return the formatter of ``telemetry.log_format``: ``text`` or ``json``.

    Example: ``handler.setFormatter(log_formatter("json"))``
    """
    return JsonLogLines() if form == "json" else logging.Formatter(TEXT_LINES)

"""The words of ``kvproxy serve`` itself, which belong into its log where every line of that log is JSON."""

from __future__ import annotations

import io
import logging
import sys
from typing import TextIO

import typer

logger = logging.getLogger("kvproxy.serve")


class LogStream(io.StringIO):
    """A stream without content, whose lines become lines of the log."""

    def write(self, text: str) -> int:
        """Log one line; a line end alone is none."""
        if line := text.strip():
            logger.info("%s", line)
        return len(text)


def progress_stream(log_format: str) -> TextIO:
    """Return the stream for the progress of a start: standard error, or the log where that is JSON.

    Example: ``Progress("preparing qwen3-4b", stream=progress_stream("json"))``
    """
    return LogStream() if log_format == "json" else sys.stderr


def say(line: str, log_format: str) -> None:
    """Write one line for whoever started the server. Example: ``say("serving qwen3-4b at http://…", "text")``."""
    if log_format == "json":
        logger.info("%s", line)
    else:
        typer.echo(line, err=True)

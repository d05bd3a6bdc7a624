"""`begin_log`: the process's log, on standard error: its form, its level, and all that writes there beside it."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Literal

from kvproxy.telemetry.json_log_lines import log_formatter

LogLevel = Literal["debug", "info", "warning", "error"]

_NOISY = ("LiteLLM", "alembic", "httpx", "transformers")

logger = logging.getLogger("kvproxy")


def begin_log(form: str, level: LogLevel = "info") -> None:
    """Make standard error the log, in the form and from the level of the settings ``telemetry``.

    ``debug`` is about kvproxy's own lines alone: other libraries write bodies of requests at that level, prompts
    included. Warnings of Python, and exceptions that nothing catches, become lines too.

    Example: ``begin_log("json", "warning")``
    """
    lines = logging.StreamHandler()
    lines.setFormatter(log_formatter(form))
    least = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(least, logging.INFO), handlers=[lines])
    logger.setLevel(least)
    # No line names its thread or process, and looking them up is a tenth of the cost of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(least, logging.WARNING))
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _ended_thread


def _uncaught(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, at)
        return
    logger.critical("the process ends with an error that nothing has caught", exc_info=(kind, error, at))


def _ended_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not issubclass(ended.exc_type, SystemExit):
        name = "a thread" if ended.thread is None else ended.thread.name
        told = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        logger.critical("%s has ended with an error that nothing has caught", name, exc_info=told)

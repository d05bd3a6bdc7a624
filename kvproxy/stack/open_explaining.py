"""Opens the explaining of misses: earlier requests in memory, the thread that compares, and the reports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.explain.explaining_thread import ExplainingThread
from kvproxy.explain.miss_explainer import MissExplainer
from kvproxy.explain.miss_report import MissReporter
from kvproxy.explain.previous_requests import PreviousRequests
from kvproxy.settings.explain_settings import ExplainSettings


@dataclass(frozen=True, slots=True)
class OpenExplaining:
    """Both ways to a cause: beside each miss, and on request."""

    thread: ExplainingThread
    reporter: MissReporter


@asynccontextmanager
async def open_explaining(
    settings: ExplainSettings, composer: Composer, library: Library
) -> AsyncIterator[OpenExplaining]:
    """Open the thread, and end it at the end.

    Example:
        ``async with open_explaining(config.explain, documents.composer, documents.library) as explaining: ...``
    """
    previous = (
        PreviousRequests(
            ttl_s=settings.ttl_s, max_requests=settings.max_requests, max_memory=settings.max_memory
        )
        if settings.keep
        else None
    )
    explainer = MissExplainer(library, composer.decode, previous)
    with ExplainingThread(explainer) as thread:
        yield OpenExplaining(thread, MissReporter(explainer, library, composer.encode, composer.decode))

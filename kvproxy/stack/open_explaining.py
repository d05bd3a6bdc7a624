"""Opens the explaining of misses: earlier requests in memory, the thread that compares, and the reports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kvproxy.explain.explaining_thread import ExplainingThread
from kvproxy.explain.miss_explainer import MissExplainer
from kvproxy.explain.miss_report import MissReporter
from kvproxy.explain.previous_requests import PreviousRequests
from kvproxy.served_model import ServedModels
from kvproxy.settings.explain_settings import ExplainSettings


@dataclass(frozen=True, slots=True)
class OpenExplaining:
    """Both ways to a cause: beside each miss, and on request."""

    thread: ExplainingThread
    reporters: Mapping[str, MissReporter]
    """By the names of the served models."""


@asynccontextmanager
async def open_explaining(settings: ExplainSettings, models: ServedModels) -> AsyncIterator[OpenExplaining]:
    """Open the thread, and end it at the end. The memory of earlier requests is the models' in equal parts: what is
    kept of a request is its tokens, which are each model's own.

    Example:
        ``async with open_explaining(config.explain, models) as explaining: ...``
    """
    share = settings.max_memory // max(1, len(models.names))
    explainers = {
        model.name: MissExplainer(model.library, model.composer.decode, _previous(settings, share))
        for model in models
    }
    reporters = {
        model.name: MissReporter(
            explainers[model.name], model.library, model.composer.encode, model.composer.decode
        )
        for model in models
    }
    with ExplainingThread(explainers[models.primary.name], explainers) as thread:
        yield OpenExplaining(thread, reporters)


def _previous(settings: ExplainSettings, memory: int) -> PreviousRequests | None:
    if not settings.keep:
        return None
    return PreviousRequests(ttl_s=settings.ttl_s, max_requests=settings.max_requests, max_memory=memory)

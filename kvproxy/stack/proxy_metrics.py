"""Makes the metrics of a process, and the figures of its engine or fleets that they show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from kvproxy.documents.library.library import Library
from kvproxy.exactness.fleet_audit import FleetAuditor
from kvproxy.served_model import ServedModel
from kvproxy.settings.fleet_settings import FleetSettings
from kvproxy.stack.fleet_metrics import fleet_series
from kvproxy.stack.fleet_works import fleet_figures, running_at
from kvproxy.telemetry.metrics import Figures, Metrics

if TYPE_CHECKING:
    from kvproxy.exactness.audit import Auditor
    from kvproxy.stack.local_engine import LocalEngine


def proxy_figures(
    engine: LocalEngine | None, auditor: Auditor | None, library: Library, models: Iterable[ServedModel]
) -> Callable[[], Figures]:
    """Return the function that tells the engine's figures at its moment; without an engine those of the fleets.

    Example: ``proxy_figures(engine, auditor, documents.library, models)().running``
    """
    if engine is not None and auditor is not None:
        return lambda: engine.figures(library, auditor)
    return lambda: fleet_figures(library, running_at(model.backend for model in models))


def proxy_metrics(
    figures: Callable[[], Figures],
    models: Iterable[ServedModel],
    auditors: Mapping[str, FleetAuditor],
    fleets: Sequence[FleetSettings],
) -> Metrics:
    """Return the metrics that show ``figures`` and, where ``fleets`` are configured, those of their replicas.

    Example: ``metrics = proxy_metrics(figures, models, auditors, config.fleets)``
    """
    metrics = Metrics()
    metrics.follow(figures)
    if fleets:
        metrics.follow_fleets(lambda: fleet_series(models, auditors))
    return metrics

"""`fleet_series`: the fleets' figures as ``/metrics`` shows them; and `fleet_auditors`: the audits of their hits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from kvproxy.backends.base import LocalBackend
from kvproxy.exactness.fleet_audit import FleetAuditCounts, FleetAuditor
from kvproxy.served_model import ServedModel, ServedModels
from kvproxy.settings.fleet_settings import FleetSettings
from kvproxy.telemetry.fleet_series import FleetSeries, ReplicaSeries

if TYPE_CHECKING:
    from kvproxy.backends.fleet.fleet_backend import FleetBackend


def fleet_series(models: Iterable[ServedModel], auditors: Mapping[str, FleetAuditor]) -> list[FleetSeries]:
    """Return the series of those models that are fleets. No I/O. ``auditors``: by the names of the models.

    Example: ``metrics.follow_fleets(lambda: fleet_series(models, auditors))``
    """
    # What a fleet needs is not imported where there is none.
    from kvproxy.backends.fleet.fleet_backend import FleetBackend

    found = []
    for model in models:
        if isinstance(model.backend, FleetBackend):
            auditor = auditors.get(model.name)
            found.append(_series(model.backend, FleetAuditCounts() if auditor is None else auditor.counts))
    return found


def _series(backend: FleetBackend, audits: FleetAuditCounts) -> FleetSeries:
    figures = backend.figures()
    return FleetSeries(
        figures.model,
        tuple(
            ReplicaSeries(
                replica=one.name,
                up=one.up,
                running=one.running,
                queued_tokens=one.queued_tokens,
                prefill_tokens_per_s=one.prefill_tokens_per_s,
                event_lag_s=one.event_lag_s,
                event_gaps=one.event_gaps,
                resident_tokens={str(tier): tokens for tier, tokens in one.resident_tokens.items()},
                state=one.state,
                answers=one.answers,
                hits=one.hits,
                prompt_tokens=one.prompt_tokens,
                cached_tokens=one.cached_tokens,
            )
            for one in figures.replicas
        ),
        retries=figures.retries,
        counts={
            "broken_streams": figures.broken_streams,
            "overruled": figures.overruled,
            "warmed": figures.warmed,
        },
        gauges={"warm_queue": figures.warm_queue, "resident_blocks": figures.blocks},
        audits={"agree": audits.agree, "differ": audits.differ, "dropped": audits.dropped},
    )


def fleet_auditors(fleets: Iterable[FleetSettings], models: ServedModels) -> Mapping[str, FleetAuditor]:
    """Make the auditors of those fleets that have a share of their hits audited, by the fleets' names.

    Example: ``auditors = fleet_auditors(config.fleets, models)``
    """
    return {
        fleet.name: FleetAuditor(
            (backend := models.named(fleet.name).backend),
            fleet.name,
            share=fleet.audit,
            idle=partial(is_idle, backend),
        )
        for fleet in fleets
        if fleet.audit > 0
    }


def is_idle(backend: LocalBackend) -> bool:
    """Return whether this proxy has no request at any replica of a fleet."""
    from kvproxy.backends.fleet.fleet_backend import FleetBackend

    replicas = backend.figures().replicas if isinstance(backend, FleetBackend) else ()
    return not any(one.running or one.queued_tokens for one in replicas)

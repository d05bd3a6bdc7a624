"""`FleetParts`: the parts of an open fleet, made by :func:`open_fleet`."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.backends.fleet.cache_salts import CacheSalts
from kvproxy.backends.fleet.cold_reads import ColdReads
from kvproxy.backends.fleet.document_copies import DocumentCopies
from kvproxy.backends.fleet.fleet_answers import FleetAnswers
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.fleet_residency import FleetResidency
from kvproxy.backends.fleet.prompt_router import PromptRouter
from kvproxy.backends.fleet.replica_events import ReplicaEvents
from kvproxy.settings.fleet_settings import FleetSettings


class FleetContext:
    """The positions that every replica has for a prompt with its answer."""

    def __init__(self, settings: FleetSettings, replicas: FleetReplicas, model_context: int) -> None:
        """``model_context``: what the model's own configuration says, until a replica has told its own.

        Example: ``FleetContext(settings, replicas, 32_768)()``
        """
        self._settings, self._replicas, self._model_context = settings, replicas, model_context

    def __call__(self) -> int:
        """Return the least of the setting and what checked replicas have. One that is away counts, too: prompts that
        fit are the same whoever is up."""
        told = [
            r.facts.max_model_len for r in self._replicas if r.facts is not None and r.facts.max_model_len
        ]
        least = min(told, default=self._model_context)
        return least if self._settings.max_context is None else min(self._settings.max_context, least)


@dataclass(frozen=True, slots=True)
class FleetParts:
    """The parts that a fleet's backend is made of."""

    settings: FleetSettings
    fingerprint: str
    replicas: FleetReplicas
    residency: FleetResidency
    salts: CacheSalts
    router: PromptRouter
    answers: FleetAnswers
    copies: DocumentCopies
    cold_reads: ColdReads
    context: FleetContext
    events: ReplicaEvents

"""`resolve_folders`: the folders of a configuration's models, found before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kvproxy.config import Config, default_cache_dir
from kvproxy.core.report_progress import ReportProgress
from kvproxy.engine.models.source import ModelFolder, resolve_model
from kvproxy.engine.models.text_folder import resolve_texts


@dataclass(frozen=True, slots=True)
class ModelFolders:
    """The folders that the models of a configuration are opened from."""

    local: ModelFolder | None
    """Of the local model; None where this process computes none."""
    fleets: Mapping[str, Path] = field(default_factory=dict)
    """By the fleets' names: tokenizer and chat template."""


def resolve_folders(config: Config, progress: ReportProgress | None = None) -> ModelFolders:
    """Find every model, converting or downloading what is needed: of a fleet's model no weights. Blocking.

    ``progress(done, total)`` is called while the local model is converted. Raises SetupError.
    Example: ``folders = resolve_folders(config)``
    """
    model, cache = config.model, default_cache_dir()
    local = None
    if config.serves_local:
        local = resolve_model(model.path, revision=model.revision, cache_dir=cache, progress=progress)
    fleets = {
        fleet.name: resolve_texts(fleet.model, revision=fleet.revision, cache_dir=cache).path
        for fleet in config.fleets
    }
    return ModelFolders(local, fleets)

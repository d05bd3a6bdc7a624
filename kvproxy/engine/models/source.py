"""`resolve_model`: from the configured model name to a folder with its files: local, bundled, or from the hub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvproxy.core.report_progress import ReportProgress
from kvproxy.engine.models.smollm2 import BUNDLED_NAME, bundled_model
from kvproxy.errors import SetupError

Bundled = Callable[[Path, "ReportProgress | None"], Path]
Download = Callable[[str, "str | None", bool], Path]
"""``download(repo, revision, offline)``; ``offline`` looks into the local cache alone.

Raises LookupError with one sentence when it cannot give the model.
"""

SHAPE_PREFIX = "shape:"
"""Prefix of the name of a shape; see bench/engine/random_models.py."""
HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that holds config.json, tokenizer.json and the weights of one model: safetensors or one GGUF file."""

    path: Path
    name: str


def resolve_model(
    path_or_name: str,
    *,
    revision: str | None = None,
    cache_dir: Path,
    progress: ReportProgress | None = None,
    download: Download | None = None,
    bundled: Bundled = bundled_model,
) -> ModelFolder:
    """Find the model, converting or downloading it when needed; ``progress`` counts converted tensors.

    Raises SetupError with one sentence that names the choices.

    Example: ``resolve_model("Qwen/Qwen3-4B", cache_dir=default_cache_dir()).path``
    """
    if path_or_name.startswith(SHAPE_PREFIX):
        raise SetupError(
            f"{path_or_name} has random weights and no tokenizer: only benches of the engine take it"
        )
    local = local_path(path_or_name)
    if local is not None:
        return _complete(around_gguf(local, cache_dir))
    if path_or_name.lower() == BUNDLED_NAME:
        return ModelFolder(bundled(cache_dir, progress), BUNDLED_NAME)
    return _from_hub(path_or_name, revision, download or hub_download)


def model_on_disk(
    path_or_name: str,
    *,
    revision: str | None = None,
    cache_dir: Path,
    progress: ReportProgress | None = None,
    download: Download | None = None,
    bundled: Bundled = bundled_model,
) -> ModelFolder | None:
    """Do as `resolve_model`, but never over the network: None for a hub model that is not here yet.

    Example: ``model_on_disk("Qwen/Qwen3-4B", cache_dir=default_cache_dir())``
    """
    if local_path(path_or_name) is not None or path_or_name.lower() == BUNDLED_NAME:
        return resolve_model(path_or_name, cache_dir=cache_dir, progress=progress, bundled=bundled)
    try:
        folder = (download or hub_download)(path_or_name, revision, True)
    except LookupError:
        return None
    return None if missing_files(folder) else ModelFolder(folder, path_or_name)


def around_gguf(path: Path, cache_dir: Path) -> ModelFolder:
    """Return the model of a folder or a GGUF file; that of a GGUF file has a folder of its own."""
    if path.is_dir() and not any(path.glob("*.gguf")):
        return ModelFolder(path, path.name)
    # numpy comes with it, which a proxy without GGUF files and without an engine can do without.
    from kvproxy.engine.quantised.gguf_folder import find_gguf_in, gguf_folder

    gguf = path if path.is_file() else find_gguf_in(path)
    if gguf is None:
        return ModelFolder(path, path.name)
    return ModelFolder(gguf_folder(gguf, cache_dir), gguf.stem)


def missing_files(folder: Path) -> list[str]:
    """Return the names of files that a model folder needs and ``folder`` lacks; [] when it is whole."""
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError):
            return [*missing, f"a readable {index.name}"]
        missing += sorted(name for name in shards if not (folder / name).is_file())
    elif not any(folder.glob("*.safetensors")) and not any(folder.glob("*.gguf")):
        missing.append("*.safetensors or a *.gguf")
    return missing


def local_path(path_or_name: str) -> Path | None:
    """Return the folder or GGUF file that a path names, None for the name of another model. Raises SetupError."""
    path = Path(path_or_name).expanduser()
    if path.is_dir() or (path.suffix == ".gguf" and path.is_file()):
        return path.resolve()
    if path.is_absolute() or path_or_name.startswith((".", "~")):
        raise SetupError(
            f"there is no model folder or GGUF file {path}; a hub model is named like Qwen/Qwen3-4B"
        )
    return None


def _complete(folder: ModelFolder) -> ModelFolder:
    missing = missing_files(folder.path)
    if missing:
        raise SetupError(
            f"the model folder {folder.path} lacks {', '.join(missing)}: "
            "kvproxy reads the files that transformers' save_pretrained writes"
        )
    return folder


def _from_hub(repo: str, revision: str | None, download: Download) -> ModelFolder:
    # The local cache first: a model that is here must start without a network.
    try:
        folder = download(repo, revision, True)
        if not missing_files(folder):
            return ModelFolder(folder, repo)
    except LookupError:
        pass
    try:
        folder = download(repo, revision, False)
    except LookupError as e:
        raise SetupError(
            f"cannot get the model {repo} ({e.args[0]}): set HF_HOME to a cache that has it, "
            f"or give the path of a folder with its files, or use --model {BUNDLED_NAME}"
        ) from e
    return _complete(ModelFolder(folder, repo))


def hub_download(repo: str, revision: str | None, offline: bool, files: Sequence[str] = HUB_FILES) -> Path:
    """Download a snapshot of ``repo`` to the hub's own cache, of the ``files`` that fit its patterns; its progress bars
    are the hub's.

    Raises LookupError.

    Example: ``hub_download("Qwen/Qwen3-4B", None, offline=True)``
    """
    import httpx
    import huggingface_hub as hub
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        path = hub.snapshot_download(
            repo, revision=revision, allow_patterns=list(files), local_files_only=offline
        )
    except HFValidationError as e:
        raise LookupError("that is neither a folder nor the name of a hub model") from e
    except GatedRepoError as e:
        raise LookupError("its owner must grant access first; then set HF_TOKEN") from e
    except RevisionNotFoundError as e:
        raise LookupError(f"it has no revision {revision}") from e
    except RepositoryNotFoundError as e:
        raise LookupError("the hub has no such model, or it is private and HF_TOKEN is not set") from e
    except HfHubHTTPError as e:
        raise LookupError(f"the hub answered {e.response.status_code}") from e
    # LocalEntryNotFoundError and OfflineModeIsEnabled are among these.
    except (OSError, httpx.HTTPError) as e:
        where = os.environ.get("HF_ENDPOINT", "huggingface.co")
        raise LookupError("it is not in the local cache" if offline else f"{where} is not reachable") from e
    return Path(path)

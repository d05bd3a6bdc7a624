"""`gguf_folder`: a model folder around a GGUF file: configuration and tokenizer converted, the weights a link.

Files of the same names beside the GGUF file are taken instead of converted ones. The folder appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

from kvproxy.engine.quantised.gguf_config import model_config
from kvproxy.engine.quantised.gguf_file import GgufFile
from kvproxy.engine.quantised.gguf_tokenizer import tokenizer_files
from kvproxy.errors import SetupError

CONVERTED = 1
"""Raise it whenever the same file would give other configuration or tokenizer files: folders get other names then."""

WEIGHTS = "model.gguf"
"""Name of the link to the file in the folder."""

_COMPANIONS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
_TEMPLATE = "chat_template.jinja"
_HEADER_BYTES = 64 * 2**20


def gguf_folder(path: Path, cache_dir: Path) -> Path:
    """Return the folder of the GGUF file ``path`` below ``cache_dir``, made first where it is not there.

    Raises SetupError for a file that cannot be served.
    """
    path = path.resolve()
    target = cache_dir / f"gguf-{path.stem}-{_digest(path)}"
    if target.is_dir():
        return target
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir / ".gguf.lock"):
            if not target.is_dir():
                _build(path, target)
    except OSError as e:
        raise SetupError(
            f"cannot write the converted files of {path.name} below {cache_dir}: {e.strerror}"
        ) from e
    return target


def find_gguf_in(folder: Path) -> Path | None:
    """Return the one GGUF file of a folder without safetensors; None where there is none. Raises SetupError for several."""
    if any(folder.glob("*.safetensors")):
        return None
    found = sorted(folder.glob("*.gguf"))
    if len(found) > 1:
        names = ", ".join(f.name for f in found[:4])
        raise SetupError(f"{folder} has several GGUF files ({names}): name one of them as the model")
    return found[0] if found else None


def open_weights(folder: Path) -> GgufFile | None:
    """Open the GGUF file of a folder that `gguf_folder` made; None for a folder of safetensors."""
    path = folder / WEIGHTS
    return GgufFile(path) if path.exists() else None


def _digest(path: Path) -> str:
    """Name the file's place, its size and time, its header and its companions: what the folder is made of."""
    try:
        status = path.stat()
        digest = hashlib.sha256(f"{CONVERTED}|{path}|{status.st_size}|{status.st_mtime_ns}".encode())
        with path.open("rb") as f:
            digest.update(f.read(min(_HEADER_BYTES, status.st_size)))
        for name in (*_COMPANIONS, _TEMPLATE):
            if (path.parent / name).is_file():
                digest.update(name.encode() + (path.parent / name).read_bytes())
    except OSError as e:
        raise SetupError(f"cannot read {path}: {e.strerror}") from e
    return digest.hexdigest()[:16]


def _build(path: Path, target: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _write(path, temporary)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(path: Path, folder: Path) -> None:
    file = GgufFile(path)
    beside = [name for name in (*_COMPANIONS, _TEMPLATE) if (path.parent / name).is_file()]
    contents = {"config.json": model_config(file)}
    if "tokenizer.json" not in beside:
        contents |= tokenizer_files(file.metadata, path.name)
    for name, content in contents.items():
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    template = file.metadata.get("tokenizer.chat_template")
    if template is not None:
        (folder / _TEMPLATE).write_text(str(template), encoding="utf-8")
    for name in beside:
        shutil.copyfile(path.parent / name, folder / name)
    os.symlink(path, folder / WEIGHTS)

"""What the commands share: option types, and how they read their files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvproxy.errors import SetupError

if TYPE_CHECKING:
    from kvproxy.config import Config

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", envvar="KVPROXY_CONFIG", help="A YAML file.")
]
Model = Annotated[str | None, typer.Option(help="A folder, smollm2-135m, or a hub name.  [Qwen/Qwen3-4B]")]
Dtype = Annotated[str | None, typer.Option(help="bfloat16 or float32.")]
StoreFolder = Annotated[Path | None, typer.Option("--store", help="Where published pages are kept.")]


def read_config(path: Path | None, **given: Any) -> Config:
    """``given`` has dotted names with ``__``; what is None was not given on the command line."""
    from kvproxy.config import load_config

    overrides = {name.replace("__", "."): value for name, value in given.items() if value is not None}
    return load_config(path, overrides)


def write_whole(path: Path, text: str) -> None:
    """Whoever polls for ``path`` must not read half of it."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as e:
        raise SetupError(f"cannot write {path}: {e.strerror}") from e


def read_text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8")
    except OSError as e:
        raise SetupError(f"cannot read {file}: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise SetupError(f"{file} is not UTF-8 text (byte {e.start}); convert it first") from e

"""Option types that the commands share, and reading of the files that they name."""

from __future__ import annotations

import codecs
import os
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
BenchModel = Annotated[
    str,
    typer.Option("--model", help="A folder, smollm2-135m, a hub name, shape:qwen3-0.6b or shape:qwen3-4b."),
]
Dtype = Annotated[str | None, typer.Option(help="bfloat16 or float32.")]
Fleet = Annotated[
    list[str] | None,
    typer.Option(
        help="A running replica of vLLM, as http://host:8000; once for each. --model then names the tokenizer, and no "
        "weights are loaded.",
        show_default=False,
    ),
]
Url = Annotated[str, typer.Option(envvar="KVPROXY_URL", help="The running proxy.")]
Key = Annotated[str | None, typer.Option("--api-key", envvar="KVPROXY_API_KEY", help="If it asks for one.")]

HERE = "http://127.0.0.1:8321"
"""The address of a proxy with the default settings."""

StoreFolder = Annotated[Path | None, typer.Option("--store", help="Where published pages are kept.")]


def read_config(path: Path | None, **given: Any) -> Config:
    """``given`` has dotted names with ``__``; a value of None was not given on the command line."""
    from kvproxy.config import load_config

    overrides = {name.replace("__", "."): value for name, value in given.items() if value is not None}
    return load_config(path, overrides)


def fleet_of(
    replicas: list[str] | None, model: str | None, *, dtype: str | None = None, audit: float | None = None
) -> list[dict[str, Any]] | None:
    """Return the ``fleets`` of a configuration for ``--fleet URL … --model NAME --audit RATE``: one, named as its model
    would be here; None without ``--fleet``. Raises SetupError without a model, or with what only an engine here has.

    Example: ``fleet_of(["http://gpu-1:8000"], "Qwen/Qwen3-8B")``
    """
    if not replicas:
        return None
    if model is None:
        raise SetupError(
            "--fleet needs --model: a folder or hub name with the tokenizer that its replicas have"
        )
    if dtype is not None:
        raise SetupError(
            "--dtype is an engine's of this process, and --fleet has none: replicas have their own"
        )
    name = model.rstrip("/").rsplit("/", 1)[-1].lower().removesuffix(".gguf")
    audited = {} if audit is None else {"audit": audit}
    return [{"name": name, "model": model, "replicas": replicas, **audited}]


def read_sizes(text: str) -> tuple[int, ...]:
    """``255,1024`` as ascending numbers. Raises SetupError for anything else."""
    try:
        sizes = sorted({int(part) for part in text.split(",")})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 1:
        raise SetupError(f"'{text}' is no list of whole numbers from 1 up, such as 255,1024")
    return tuple(sizes)


def read_size(text: str) -> int:
    """Return the bytes of ``8MiB``. Raises SetupError."""
    from kvproxy.settings.byte_size import parse_bytes

    try:
        size = parse_bytes(text)
    except ValueError as e:
        raise SetupError(f"'{text[:40]}' is no size: {e}") from e
    assert isinstance(size, int)
    if size < 1:
        raise SetupError(f"'{text[:40]}' is no size above 0")
    return size


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_duration(text: str | None) -> int | None:
    """Return the seconds of ``90s``, ``15m``, ``12h`` or ``30d``; None for None. Raises SetupError."""
    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    if unit not in _SECONDS or not (number.isascii() and number.isdigit() and 0 < len(number) <= 6):
        raise SetupError(f"'{text[:40]}' is no duration: write one like 90s, 15m, 12h or 30d")
    return int(number) * _SECONDS[unit]


def read_amount(text: str | None) -> int | None:
    """Return the nano-units of ``2.50``; None for None. Raises SetupError for anything else."""
    from kvproxy.core import parse_nano

    try:
        nano = None if text is None else parse_nano(text)
    except ValueError as e:
        raise SetupError(str(e)) from e
    if nano is not None and nano < 0:
        raise SetupError(f"'{text}' is below zero")
    return nano


def write_whole(path: Path, text: str) -> None:
    """Write ``path`` at once: a process that polls for it never reads half of it."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as e:
        raise SetupError(f"cannot write {path}: {e.strerror}") from e


def can_write(*files: Path | None) -> None:
    """Check that a file can be written, before minutes of measuring. Raises SetupError."""
    for file in files:
        if file is None:
            continue
        if file.is_dir():
            raise SetupError(f"cannot write {file}: it is a folder")
        if not os.access(file.parent, os.W_OK | os.X_OK):
            raise SetupError(f"cannot write {file}: {file.parent} is no folder that can be written to")


_WIDE = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by byte order mark; UTF-32's come first, as one of them starts with one of UTF-16's."""


def read_text(file: str) -> str:
    """Return the text of a file, ``-`` for stdin: UTF-8 with line ends and byte order mark as they are, since
    programs send them in different ways, or UTF-16 and UTF-32 that say so themselves. Raises SetupError."""
    try:
        return decode_text(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes(), file)
    except OSError as e:
        raise SetupError(f"cannot read {file}: {e.strerror}") from e


def decode_text(data: bytes, file: str) -> str:
    """Return bytes as the text that ``read_text`` makes of them. Raises SetupError, which names ``file``."""
    try:
        return data.decode(next((codec for mark, codec in _WIDE.items() if data.startswith(mark)), "utf-8"))
    except UnicodeDecodeError as e:
        raise SetupError(
            f"{file} is not {e.encoding.upper()} text (byte {e.start}); convert it to UTF-8 first, for example "
            f"with iconv -t UTF-8"
        ) from e

"""transformers' environment, which three peers share: two that serve with it and one that converts with it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.peer import Place, venv

VERSION = "5.23.0"


def python(place: Place) -> Path:
    serving = (f"transformers[serving]=={VERSION}", "accelerate", "aiohttp")
    converting = ("gguf", "sentencepiece", "protobuf")
    return venv(place.folder / "transformers", ("torch==2.13.0",), (*serving, *converting))

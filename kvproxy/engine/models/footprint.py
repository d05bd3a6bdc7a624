"""`Footprint`: the memory that a model and its KV take, read from the files' headers; nothing is loaded."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvproxy.engine.quantised.gguf_file import GgufFile
from kvproxy.errors import SetupError

_HEADER_LIMIT = 100 * 2**20  # safetensors' own limit


@dataclass(frozen=True, slots=True)
class Footprint:
    """The sizes of a model."""

    parameters: int
    """Number of weights; of group-quantised safetensors, of the integers that hold them."""
    weights_bytes: int
    """Bytes of all parameters in the dtype they are served in."""
    kv_bytes_per_token: int
    """Bytes of one position's K and V of all layers."""
    max_context: int
    """Positions that the model has."""


def read_footprint(folder: Path, dtype_bytes: int) -> Footprint:
    """Read the sizes of a model folder. Raises SetupError when one of its files cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        plain, ggufs = sorted(folder.glob("*.safetensors")), sorted(folder.glob("*.gguf"))
        parameters = sum(_parameters(file) for file in plain) + sum(GgufFile(f).parameters() for f in ggufs)
        quantised = bool(ggufs) or "quantization_config" in config
        kv_heads = config.get("num_key_value_heads") or config["num_attention_heads"]
        head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        return Footprint(
            parameters=parameters,
            weights_bytes=sum(f.stat().st_size for f in (*plain, *ggufs))
            if quantised  # they stay as they are
            else parameters * dtype_bytes,
            kv_bytes_per_token=2 * config["num_hidden_layers"] * kv_heads * head_dim * dtype_bytes,
            max_context=config["max_position_embeddings"],
        )
    except KeyError as e:
        raise SetupError(f"{folder / 'config.json'} has no {e}: is it a decoder model?") from e
    except (OSError, ValueError, struct.error) as e:
        raise SetupError(f"cannot read the model files in {folder}: {e}") from e


def _parameters(file: Path) -> int:
    with file.open("rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        if length > _HEADER_LIMIT:
            raise ValueError(f"{file.name} is not a safetensors file")
        header: dict[str, Any] = json.loads(f.read(length))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")

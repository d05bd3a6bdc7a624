"""`Bytes`: a size in bytes in the configuration, written as a number or like ``4GiB``."""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_bytes(value: object) -> object:
    """Parse ``"4GiB"`` to 4294967296. Plain integers are bytes; any other value is left for pydantic to refuse."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([a-zA-Z]*)\s*", value)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError("write a size like 512MiB or 4GiB")
    size = float(match[1]) * _UNITS[match[2].lower()]
    if not math.isfinite(size):
        raise ValueError("write a size like 512MiB or 4GiB")
    return int(size)


Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(gt=0)]

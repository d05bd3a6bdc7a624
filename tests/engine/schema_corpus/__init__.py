"""Schemas as people and SDKs write them, by name; every one of them can be enforced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CORPUS: dict[str, dict[str, Any]] = {
    name: schema
    for part in ("values", "objects")
    for name, schema in json.loads(
        (Path(__file__).parent / f"{part}.json").read_text(encoding="utf-8")
    ).items()
}

"""The engine that last opened a store, with the causes of its fingerprint: the reason for computing pages again.

Pages carry a fingerprint, which says that two engines differ and not in which cause. One small file beside the pages
says it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "engine.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _EngineRecord:
    fingerprint: str
    causes: dict[str, str]


def replace_last_engine(folder: Path, fingerprint: str, causes: Mapping[str, str]) -> str | None:
    """Note the engine that opens the store in ``folder``; return a sentence on its differences from the one before.

    None without a former engine, or with one of the same fingerprint. A file that cannot be read counts as none, and
    one that cannot be written is left: it explains, and decides nothing.

    Example: ``replace_last_engine(folder, model.fingerprint, model.identity)``
    """
    before = _read(folder / FILE)
    now = _EngineRecord(fingerprint, dict(causes))
    if before == now:
        return None
    _write(folder / FILE, now)
    if before is None or before.fingerprint == fingerprint:
        return None
    return "; ".join(differences(before.causes, now.causes))


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return ``"name: old, now new"`` for each cause that changed, came or went, in the order of the names."""
    return [
        f"{name}: {_said(before.get(name))}, now {_said(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _said(value: str | None) -> str:
    if value is None:
        return "unset"
    return value if len(value) <= 60 else f"{value[:16]}…"


def _read(file: Path) -> _EngineRecord | None:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return _EngineRecord(str(kept["fingerprint"]), {str(k): str(v) for k, v in kept["causes"].items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _write(file: Path, engine: _EngineRecord) -> None:
    part = file.with_suffix(".part")
    try:
        part.write_text(json.dumps(asdict(engine), indent=1), encoding="utf-8")
        os.replace(part, file)
    except OSError as e:
        logger.warning(
            "cannot write the engine's name to %s; the next start cannot say what changed: %s", file, e
        )

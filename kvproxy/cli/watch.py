"""One line for each request as it ends: hit or miss, and the reason of a miss."""

from __future__ import annotations

import time
from typing import Any

from rich.text import Text

_STYLES = {"hit": "green", "miss": "yellow", "refused": "bold red", "left": "dim", "bypass": "cyan"}

WIDE = 140
"""Columns from which a line has the client, the model, the whole time and the answer's tokens too."""

_MIDDLE = f"{'':7}  {'cached of prompt':>22}  {'TTFT':>8}"
HEAD = f"{'time':8}  {'client':24}  {'model':20}  {_MIDDLE}  {'total':>8}  {'out':>5}"
NARROW_HEAD = f"{'time':8}  {_MIDDLE}"


def head(width: int | None) -> str:
    """Return the heads of the columns of a terminal with ``width`` columns; None: of lines that may be of any length.

    Example: ``head(80)``
    """
    return NARROW_HEAD if width is not None and width < WIDE else HEAD


def line(entry: dict[str, Any], width: int | None = None) -> Text:
    """Return an entry of ``/kv/v1/requests`` for a terminal, cut to its ``width``; None: in full.

    Example: ``line(entry, console.width)``
    """
    if "missed" in entry:
        return Text(f"… {entry['missed']} requests went by unseen", style="dim")
    wide = width is None or width >= WIDE
    outcome = str(entry["outcome"])
    told = Text(f"{time.strftime('%H:%M:%S', time.localtime(entry['at']))}  ")
    if wide:
        told.append(f"{_cut(entry['client'], 24)}  {_cut(entry['model'] or '', 20)}  ")
    told.append(f"{outcome:7}", style=_STYLES.get(outcome, ""))
    told.append(f"  {_share(entry):>22}  {_seconds(entry['ttft_s']):>8}")
    if wide:
        told.append(f"  {_seconds(entry['total_s']):>8}")
        told.append(f"  {'' if entry['completion_tokens'] is None else entry['completion_tokens']:>5}")
    if why := _why(entry):
        told.append(f"  {why}", style="dim")
    if "cost" in entry:
        told.append(f"  {entry['cost']} {entry['currency']}, saved {entry['saved']}", style="green")
    if width is not None:
        told.truncate(width, overflow="ellipsis")
    return told


def _share(entry: dict[str, Any]) -> str:
    prompt, cached = entry["prompt_tokens"], entry["cached_tokens"]
    if prompt is None:
        return ""
    if cached is None:
        return f"? of {prompt:,}"
    return f"{cached:,} of {prompt:,} ({100 * cached // max(prompt, 1)} %)"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def _why(entry: dict[str, Any]) -> str:
    status = f"{entry['status']} " if entry["status"] >= 400 else ""
    about = [str(entry[name]) for name in ("document", "reason") if entry[name]]
    cause = entry.get("cause")
    about += [f"({cause})"] if cause and cause != entry["reason"] else []
    about += [f"+{entry['rounded_tokens']} of its last block"] if entry.get("rounded_tokens") else []
    about += [f"on {entry['replica']}"] if entry.get("replica") else []
    return f"{status}{' '.join(about)}".rstrip()


def _cut(text: str, width: int) -> str:
    return f"{text:{width}}" if len(text) <= width else text[: width - 1] + "…"

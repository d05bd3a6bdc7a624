"""Answers of the check and the repair of a store."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11


class KvCheck(TypedDict):
    """The findings of a check, a line each, with what repairs it in brackets.

    ``notes`` are no faults: pages that made room, what was set aside before. ``looked`` counts what was looked at.
    """

    object: Literal["kv_check"]
    sound: bool
    faults: list[str]
    notes: list[str]
    looked: dict[str, int]


class KvRepair(TypedDict):
    """The result of a repair: faults that are ``mended``, and ``faults`` that are left."""

    object: Literal["kv_repair"]
    sound: bool
    mended: list[str]
    faults: list[str]
    notes: list[str]

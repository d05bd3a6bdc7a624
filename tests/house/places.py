"""`first_attribute`: an object of a checkout by the places where it may be, since its module may have moved."""

from __future__ import annotations

import importlib
from typing import Any


def first_attribute(*places: str) -> Any:
    """The first of ``module:attribute`` that exists: a newer place stands before the older one.

    Example: ``first_attribute("kvproxy.engine.loop.engine:Engine", "kvproxy.engine.worker:Engine")``
    """
    for place in places:
        module, _, name = place.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"none of {', '.join(places)} exists in this checkout; add its new place to tests/house")

"""Checks of keyword arguments: an unknown one is refused by name, since a typo would otherwise pass in silence."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from typing import Any

from openai.resources.chat.completions import Completions

EXTRA_BODY_ADVICE = "Fields of the request that LangChain has no name for go into extra_body={…}."


def refuse_unknown(owner: str, given: Iterable[str], known: Collection[str], advice: str = "") -> None:
    """Raise TypeError for the first of ``given`` that is not ``known``, with the name that is nearest to it.

    Names with a leading underscore are LangChain's own, which it passes when it copies an object.

    Example:
        `refuse_unknown("ChatKVProxy", {"modle": "m"}, {"model"})` raises a TypeError that suggests 'model'.
    """
    unknown = next((name for name in given if name not in known and not name.startswith("_")), None)
    if unknown is None:
        return
    nearest = get_close_matches(unknown, known, 1)
    meant = f"; did you mean '{nearest[0]}'?" if nearest else ""
    raise TypeError(
        f"{owner} got an unexpected keyword argument '{unknown}'{meant or '.'}{advice and ' ' + advice}"
    )


@functools.cache
def request_fields() -> frozenset[str]:
    """Return the fields that openai's client takes for a chat completion."""
    calls: tuple[Callable[..., Any], ...] = (Completions.create, Completions.parse, Completions.stream)
    return frozenset(name for call in calls for name in inspect.signature(call).parameters) - {"self"}

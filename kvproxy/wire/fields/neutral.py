"""Predicates on a field's value: values that ask for nothing."""

from __future__ import annotations

from typing import Any

from kvproxy.wire.fields.field import Neutral


def empty(value: Any) -> bool:
    """Accept false, and an empty text, list or object."""
    return value is False or (isinstance(value, str | list | dict) and not value)


def never(value: Any) -> bool:
    """Accept no value: only null asks for nothing."""
    return False


def number(neutral: float) -> Neutral:
    """Return a predicate that accepts one number, as an integer or a float."""
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value == neutral


def one_of(*neutral: Any) -> Neutral:
    """Return a predicate that accepts the given values, of the same types."""
    return lambda value: any(type(value) is type(x) and value == x for x in neutral)


def empty_or(*neutral: Any) -> Neutral:
    """Return a predicate that accepts empty values and the given ones."""
    same = one_of(*neutral)
    return lambda value: empty(value) or same(value)


def blocks_nothing(moderation: Any) -> bool:
    """Accept moderation that only gives scores."""
    policy = moderation.get("policy") if isinstance(moderation, dict) else None
    rules = policy.values() if isinstance(policy, dict) else ()
    return not any(isinstance(rule, dict) and rule.get("mode") == "block" for rule in rules)


def cites_nothing(citations: Any) -> bool:
    """Accept citations that are not enabled."""
    return not (isinstance(citations, dict) and citations.get("enabled"))


def clears_nothing(edit: Any) -> bool:
    """Accept an edit of Anthropic's that keeps all thinking blocks."""
    keep = edit.get("keep") if isinstance(edit, dict) else None
    return keep == "all" or (isinstance(keep, dict) and keep.get("type") == "all")

"""Operators and functions of PromQL over the values of expressions."""

from __future__ import annotations

import operator as operators
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = Vector | float
Node = Callable[[float], Value]
"""The value of an expression at a time, in seconds."""

COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")


def matches(value: str, sign: str, text: str) -> bool:
    matched = re.fullmatch(text, value) is not None if "~" in sign else value == text
    return matched is not sign.startswith("!")


def change(name: str, values: list[float], window: float) -> float:
    if name == "deriv":
        return (values[-1] - values[0]) / window
    grown = sum(b - a if b >= a else b for a, b in pairwise(values))
    return grown / window if name == "rate" else grown


def quantile(share: Value, buckets: Vector) -> Vector:
    groups: dict[Labels, list[tuple[float, float]]] = {}
    for labels, value in buckets.items():
        key = frozenset(pair for pair in labels if pair[0] != "le")
        groups.setdefault(key, []).append((float(dict(labels)["le"]), value))
    found = {}
    for key, counted in groups.items():
        counted.sort()
        rank, below, count = scalar(share) * counted[-1][1], 0.0, 0.0
        for bound, value in counted:
            if value >= rank:
                wide = bound if bound != float("inf") else below
                inside = (rank - count) / (value - count) if value > count else 0.0
                found[key] = below + (wide - below) * inside
                break
            below, count = bound, value
    return found


def _clamp_min(value: Value, least: Value) -> Value:
    return mapped(value, lambda one: max(one, scalar(least)))


def _absent(value: Value) -> Value:
    return {} if value else {frozenset[tuple[str, str]](): 1.0}


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "histogram_quantile": lambda share, buckets: quantile(share, vector(buckets)),
    "clamp_min": _clamp_min,
    "absent": _absent,
}


def called(act: Callable[..., Value], arguments: list[Node], t: float) -> Value:
    return act(*(argument(t) for argument in arguments))


def applied(operator: str, left: Node, right: Node) -> Node:
    if operator in ("and", "or", "unless"):

        def sets(t: float) -> Value:
            a, b = vector(left(t)), vector(right(t))
            if operator == "or":
                return {**b, **a}
            return {key: value for key, value in a.items() if (key in b) is (operator == "and")}

        return sets
    act = _ACTS[operator]
    compares = operator in COMPARISONS

    def joined(t: float) -> Value:
        a, b = left(t), right(t)
        if isinstance(a, float) and isinstance(b, float):
            return float(act(a, b))
        pairs = list(_pairs(a, b))
        if compares:
            return {key: x for key, x, y in pairs if act(x, y)}
        return {key: act(x, y) for key, x, y in pairs}

    return joined


def _pairs(a: Value, b: Value) -> Iterator[tuple[Labels, float, float]]:
    """Series of equal labels side by side; a number is beside each."""
    for key in a if isinstance(a, dict) else vector(b):
        if isinstance(a, float) or isinstance(b, float) or key in b:
            yield key, a if isinstance(a, float) else a[key], b if isinstance(b, float) else b[key]


_ACTS: Mapping[str, Callable[[float, float], float]] = {
    **{"+": operators.add, "-": operators.sub, "*": operators.mul, "%": operators.mod},
    **{"==": operators.eq, "!=": operators.ne, ">": operators.gt, "<": operators.lt},
    **{">=": operators.ge, "<=": operators.le, "/": lambda a, b: a / b if b else float("nan")},
}


def mapped(value: Value, act: Callable[[float], float]) -> Value:
    return act(value) if isinstance(value, float) else {key: act(one) for key, one in value.items()}


def vector(value: Value) -> Vector:
    if isinstance(value, float):
        raise ValueError("a number where a vector is needed")
    return value


def scalar(value: Value) -> float:
    if not isinstance(value, float):
        raise ValueError("a vector where a number is needed")
    return value

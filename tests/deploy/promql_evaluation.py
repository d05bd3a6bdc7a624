"""PromQL as the rules and the dashboard use it: expressions are parsed by its grammar and evaluated over series that a
test makes. Without Prometheus' extrapolation: a rate is that of the samples within its window.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from tests.deploy.promql_values import (
    COMPARISONS,
    FUNCTIONS,
    Labels,
    Node,
    Value,
    applied,
    called,
    change,
    mapped,
    matches,
    vector,
)

STEP_S = 15.0
"""Seconds between two samples, as a scrape takes them."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<range>\[(?P<count>\d+)(?P<unit>[smhd])\])|(?P<number>\d+(?:\.\d+)?(?:e\d+)?)"""
    r"""|(?P<name>[a-zA-Z_:][\w:]*)|(?P<sign>=~|!~|!=|==|<=|>=|[-+*/%(){}=<>,]))"""
)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AGGREGATES: Mapping[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "max": max,
    "min": min,
    "count": lambda values: float(len(values)),
    "avg": lambda values: sum(values) / len(values),
}
_BINARY = (("or",), ("and", "unless"), COMPARISONS, ("+", "-"), ("*", "/", "%"))
"""Operators from the loosest to the tightest."""


@dataclass
class SampledSeries:
    """Series by metric: each with labels, and its value as a function of the time in seconds."""

    of: dict[str, list[tuple[dict[str, str], Callable[[float], float]]]] = field(default_factory=dict)

    def add(self, metric: str, value: Callable[[float], float] | float, **labels: str) -> SampledSeries:
        """Add a series. Example: ``series.add("kvproxy_hits_total", lambda t: 2 * t, kind="hit")``."""
        made = value if callable(value) else lambda _: float(value)
        self.of.setdefault(metric, []).append((labels, made))
        return self


def evaluate(expression: str, series: SampledSeries, at: float = 2 * 86400.0) -> Value:
    """Return the value of an expression. Raises ValueError for one that is no PromQL, with the rest that is not."""
    parser = _Parser(expression, series)
    node = parser.binary()
    if parser.tokens:
        raise ValueError(f"not understood: {parser.tokens[0][1]!r} in {expression}")
    return node(at)


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while expression[at:].strip():
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"not understood: {expression[at:]!r}")
        kind = next(name for name in ("text", "range", "number", "name", "sign") if match[name])
        yield kind, match[kind]
        at = match.end()


class _Parser:
    def __init__(self, expression: str, series: SampledSeries) -> None:
        self.tokens = list(_tokens(expression))
        self._series = series

    def binary(self, level: int = 0) -> Node:
        """Parse operators of this tightness and tighter ones; all are left-associative."""
        if level == len(_BINARY):
            return self._unary()
        left = self.binary(level + 1)
        while self.tokens and self.tokens[0][1] in _BINARY[level]:
            operator = self._next()
            left = applied(operator, left, self.binary(level + 1))
        return left

    def _unary(self) -> Node:
        if self._take("-"):
            inner = self._unary()
            return lambda t: mapped(inner(t), lambda v: -v)
        return self._primary()

    def _primary(self) -> Node:
        if not self.tokens:
            raise ValueError("an expression ends too early")
        kind, text = self.tokens.pop(0)
        if text == "(":
            inner = self.binary()
            self._expect(")")
            return inner
        if kind == "number":
            return lambda _: float(text)
        if kind != "name":
            raise ValueError(f"not understood: {text!r}")
        if text in _AGGREGATES:
            return self._aggregate(text)
        if self._peek() == "(":
            return self._function(text)
        return self._selector(text)

    def _aggregate(self, name: str) -> Node:
        grouped = self._grouping()
        self._expect("(")
        inner = self.binary()
        self._expect(")")
        by = grouped if grouped is not None else self._grouping() or ()

        def total(t: float) -> Value:
            groups: dict[Labels, list[float]] = {}
            for labels, value in vector(inner(t)).items():
                key = frozenset(pair for pair in labels if pair[0] in by)
                groups.setdefault(key, []).append(value)
            return {key: _AGGREGATES[name](values) for key, values in groups.items()}

        return total

    def _grouping(self) -> tuple[str, ...] | None:
        if not self._take("by"):
            return None
        self._expect("(")
        names = []
        while self._peek() != ")":
            names.append(self._next())
            self._take(",")
        self._expect(")")
        return tuple(names)

    def _function(self, name: str) -> Node:
        self._expect("(")
        if name in ("rate", "increase", "deriv"):
            node = self._over_time(name)
        elif name in FUNCTIONS:
            arguments = [self.binary()]
            while self._take(","):
                arguments.append(self.binary())
            node = partial(called, FUNCTIONS[name], arguments)
        else:
            raise ValueError(f"no function {name}")
        self._expect(")")
        return node

    def _over_time(self, name: str) -> Node:
        metric = self._next()
        matchers = self._matchers()
        kind, text = self.tokens.pop(0)
        if kind != "range":
            raise ValueError(f"{name} wants a range behind {metric}")
        window = float(text[1:-2]) * _UNITS[text[-2]]

        def over(t: float) -> Value:
            found = {}
            for labels, value in self._selected(metric, matchers):
                times = [t - window + n * STEP_S for n in range(int(window / STEP_S) + 1)]
                found[labels] = change(name, [value(at) for at in times], window)
            return found

        return over

    def _selector(self, metric: str) -> Node:
        matchers = self._matchers()
        if self.tokens and self.tokens[0][0] == "range":
            raise ValueError(f"a range of {metric} without a function")
        return lambda t: {labels: value(t) for labels, value in self._selected(metric, matchers)}

    def _matchers(self) -> list[tuple[str, str, str]]:
        found = []
        if self._take("{"):
            while self._peek() != "}":
                label, sign, text = self._next(), self._next(), self._next()
                found.append((label, sign, text[1:-1]))
                self._take(",")
            self._expect("}")
        return found

    def _selected(
        self, metric: str, matchers: list[tuple[str, str, str]]
    ) -> Iterator[tuple[Labels, Callable[[float], float]]]:
        for labels, value in self._series.of.get(metric, []):
            if all(matches(labels.get(label, ""), sign, text) for label, sign, text in matchers):
                yield frozenset(labels.items()), value

    def _peek(self) -> str:
        return self.tokens[0][1] if self.tokens else ""

    def _next(self) -> str:
        if not self.tokens:
            raise ValueError("an expression ends too early")
        return self.tokens.pop(0)[1]

    def _take(self, text: str) -> bool:
        taken = self._peek() == text
        if taken:
            self.tokens.pop(0)
        return taken

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise ValueError(f"{text!r} is missing before {self._peek()!r}")

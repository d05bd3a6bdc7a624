"""`EconomicLine`: one computed figure with its formula, source and basis; sections of them, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from kvproxy.core import NANO, format_nano

Basis = Literal[
    "input", "measured", "list price", "tariff", "ledger", "list price and measured", "tariff and measured"
]
"""``list price``: what an API or a cloud asks. It says nothing about what the computation costs its provider."""

Unit = Literal["money", "seconds", "hours", "tokens", "bytes", "times", "reads", "reads a day", "percent"]

_MARKS = {"times": "x", "percent": " %", "bytes": " B", "seconds": " s", "hours": " h"}


@dataclass(frozen=True, slots=True)
class EconomicLine:
    """One figure. Money is in nano-units; a value of None stands for one that no number of reads reaches."""

    name: str
    value: Fraction | None
    unit: Unit
    formula: str
    source: str
    basis: Basis
    stated: str = ""
    """The same figure as its source states it, where it does."""

    def text(self, currency: str) -> str:
        """Write the value for a person, rounded."""
        if self.value is None:
            return "never"
        if self.unit == "money":
            return f"{short(self.value / NANO)} {currency}"
        if self.unit in ("reads", "reads a day", "tokens"):
            return f"{short(self.value)} {self.unit}"
        return short(self.value) + _MARKS[self.unit]

    def as_json(self, currency: str) -> dict[str, Any]:
        """Return the line as JSON has it. Money is rounded half up to whole nano-units, and no float."""
        value: Any = None
        if self.value is not None:
            value = float(self.value)
            if self.unit == "money":
                nano = half_up(self.value)
                value = {"nano": nano, "amount": format_nano(nano), "currency": currency}
        return {
            "name": self.name,
            "value": value,
            "unit": self.unit,
            "formula": self.formula,
            "source": self.source,
            "basis": self.basis,
            **({"stated": self.stated} if self.stated else {}),
        }


@dataclass(frozen=True, slots=True)
class EconomicSection:
    """Lines under one heading, and notes on what they do not say."""

    title: str
    lines: tuple[EconomicLine, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EconomicReport:
    """All sections of one computation."""

    title: str
    currency: str
    sections: tuple[EconomicSection, ...]

    def line(self, name: str) -> EconomicLine:
        """Return the line of this name. Raises KeyError."""
        return next_or_raise((one for s in self.sections for one in s.lines if one.name == name), name)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {
            "title": self.title,
            "currency": self.currency,
            "sections": [
                {
                    "title": section.title,
                    "lines": [line.as_json(self.currency) for line in section.lines],
                    "notes": list(section.notes),
                }
                for section in self.sections
            ],
        }


class SectionLines:
    """Collects the lines of a section; source and basis are those of most of its lines."""

    def __init__(self, source: str, basis: Basis) -> None:
        self._source, self._basis = source, basis
        self._lines: list[EconomicLine] = []

    def add(
        self,
        name: str,
        value: Fraction | int | None,
        unit: Unit,
        formula: str,
        basis: Basis | None = None,
        stated: str = "",
        source: str = "",
    ) -> Fraction:
        """Add a line, and return its exact value, 0 for None.

        Example:
            ``cold = lines.add("N cold reads", n * one, "money", "N x a cold read")``
        """
        exact = None if value is None else Fraction(value)
        line = EconomicLine(name, exact, unit, formula, source or self._source, basis or self._basis, stated)
        self._lines.append(line)
        return exact or Fraction(0)

    def section(self, title: str, *notes: str) -> EconomicSection:
        """Return the lines so far under ``title``."""
        return EconomicSection(title, tuple(self._lines), notes)


def next_or_raise(found: Iterable[EconomicLine], name: str) -> EconomicLine:
    """Return the first of ``found``. Raises KeyError with ``name``."""
    for line in found:
        return line
    raise KeyError(name)


def half_up(value: Fraction) -> int:
    """Round to a whole number, halves up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def short(value: Fraction | int) -> str:
    """Write a number with four significant digits, or all digits of its whole part: 1,509,600, 0.04901, 49.7."""
    value = Fraction(value)
    if value == 0:
        return "0"
    size, places = abs(value), 0
    while size < 1000 and places < 12:
        size, places = size * 10, places + 1
    digits = half_up(abs(value) * 10**places)
    whole, rest = divmod(digits, 10**places)
    text = f"{whole:,}" + (f".{rest:0{places}d}".rstrip("0").rstrip(".") if places else "")
    return f"-{text}" if value < 0 else text

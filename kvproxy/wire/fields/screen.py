"""Screening of a body against the field table before it is parsed: refuses or records fields that have no effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.fields.field import Field, PathStep, Sort, fits, steps_of
from kvproxy.wire.tools.offered_tools import leave_out_tool


def screen(body: Mapping[str, Any], fields: Sequence[Field], reading: RequestReading) -> None:
    """Check a body against its endpoint's rows. ``reading`` records the fields left out (modified).

    Shapes are not checked: they are the parser's. Raises UnsupportedParameter naming the first field whose value would
    change the answer. Example: ``screen(body, CHAT, RequestReading())``.
    """
    for row in fields:
        if row.acts:
            for param, what, value in _found(body, steps_of(row.path), "", ""):
                _judge(row, param, what, value, reading)


def _judge(row: Field, param: str, what: str, value: Any, reading: RequestReading) -> None:
    if value is None or (row.passes is not None and row.passes(value)):
        return
    if row.sort is Sort.WITHOUT and row.hosted:
        leave_out_tool(reading, what, param)
    elif row.sort is Sort.WITHOUT:
        reading.leave_out(param, what)
    else:
        instead = f"Only {row.values} can be served here." if row.values else "Leave it out."
        raise row.error(
            f"Unsupported parameter: '{param}' is not supported by the local model: {row.says}. {instead}",
            param=param,
        )


def _found(value: Any, steps: Sequence[PathStep], at: str, what: str) -> Iterator[tuple[str, str, Any]]:
    """Yield every value at the end of ``steps``: its path, its kind in a word, and itself."""
    if not steps:
        yield at, what, value
        return
    step, *rest = steps
    if not isinstance(value, Mapping) or step.name not in value:
        return
    inner, here = value[step.name], f"{at}.{step.name}" if at else step.name
    if step.items is None:
        yield from _found(inner, rest, here, step.name)
        return
    for i, item in enumerate(inner if isinstance(inner, list) else ()):
        type = item.get("type") if isinstance(item, dict) else None
        if fits(step.items, type):
            yield from _found(item, rest, f"{here}[{i}]", type if isinstance(type, str) else step.name)

"""The ways through the code that are traced, as plain values: run in a process that imports the measured checkout."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .checkout import Function, SourceFile
from .stays import Place, Stay

Way = dict[str, Any]

ARROW = {"call": "->", "return": "<-"}

BOOT = """
import importlib.util, sys
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location("house", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["house"] = importlib.util.module_from_spec(spec)
from house.ways import main
main()
"""
"""These files under another name: ``tests`` is the measured checkout's."""


def traced(root: Path) -> dict[str, Way]:
    """Trace the checkout at ``root`` in a process of its own.

    Example: ``traced(Path("."))["chat completion, handler"]["stays"]``
    """
    path = os.pathsep.join([str(root), str(root / "integrations" / "langchain")])
    done = subprocess.run(
        [sys.executable, "-c", BOOT, str(Path(__file__).parent)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Way] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    from .traced_request import trace_request
    from .traced_step import trace_step

    ways: dict[str, Way] = {}
    request = max(trace_request().values(), key=len)
    ways["chat completion, whole"] = way(request)
    ways["chat completion, HTTP and wire"] = way(within(request, ("kvproxy.server", "kvproxy.wire")))
    parts, chain = trace_step()
    ways.update({name: way(found) for name, found in parts.items()})
    ways["deepest chain of calls in a step"] = {
        "hops": len(chain),
        "only forward": sum(map(only_forwards, chain)),
        "list": [f"{place[0]} {place[1]}" + " (only forwards)" * only_forwards(place) for place in chain],
    }
    sys.stdout.write("\n" + json.dumps(ways) + "\n")


def way(found: Sequence[Stay]) -> Way:
    """Counts of stays, and the stays as lines. ``forward``: begun by a call; ``back``: by a return, a climb back up."""
    return {
        "stays": len(found),
        "rooms": len({stay.module for stay in found}),
        "forward": sum(stay.kind == "call" for stay in found),
        "back": sum(stay.kind == "return" for stay in found),
        "list": [f"{ARROW[s.kind]} {s.module}: {', '.join(_named(s.functions))}" for s in found],
    }


def _named(functions: Sequence[str]) -> Sequence[str]:
    """Without comprehensions and generator expressions, where there is anything else."""
    return [name for name in functions if not name.endswith(("comp>", "genexpr>"))] or functions


def within(found: Sequence[Stay], packages: Sequence[str]) -> list[Stay]:
    """The stays in ``packages``, the others passed over."""
    kept = [s for s in found if any(s.module.startswith(f"{p}.") for p in packages)]
    return [s for i, s in enumerate(kept) if i == 0 or kept[i - 1].module != s.module]


def only_forwards(place: Place) -> bool:
    """Whether a function's body is one statement that calls something, behind its docstring."""
    spec = importlib.util.find_spec(place[0])
    assert spec is not None and spec.origin is not None
    file = SourceFile(Path(spec.origin), Path(spec.origin).read_text(encoding="utf-8"))
    found = {d.name: d.node for d in file.functions if isinstance(d.node, Function)}
    node = found.get(place[1].replace("<locals>.", ""))
    return node is not None and _one_call(node)


def _one_call(node: Function) -> bool:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if len(body) != 1 or not isinstance(body[0], ast.Return | ast.Expr):
        return False
    value = body[0].value
    while isinstance(value, ast.Await | ast.YieldFrom):
        value = value.value
    return isinstance(value, ast.Call)


def compact(ways: Mapping[str, Way]) -> dict[str, Way]:
    """Without the lists."""
    return {name: {k: v for k, v in found.items() if k != "list"} for name, found in ways.items()}

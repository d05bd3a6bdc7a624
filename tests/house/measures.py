"""The figures that are read from source alone: sizes, repeated names, annotations, prose, imports."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from . import prose
from .checkout import Checkout, Function, SourceFile
from .import_graph import Graph, cycles, edges, grouped, import_graph, levels

Figures = dict[str, float | int | str]

SMALL, LARGE, LONG = 50, 300, 40
"""A fragment has fewer lines than SMALL; a module has at most LARGE, a function at most LONG."""

PLAIN_NAMES = frozenset({"__init__", "__main__"})


def repeated(names: Iterable[str]) -> dict[str, int]:
    """The names that occur more than once, with how often."""
    return {name: count for name, count in sorted(Counter(names).items()) if count > 1}


def module_names(files: Sequence[SourceFile]) -> dict[str, int]:
    return repeated(file.path.stem for file in files if file.path.stem not in PLAIN_NAMES)


def class_names(files: Sequence[SourceFile]) -> dict[str, int]:
    return repeated(d.node.name for file in files for d in file.classes)


def sizes(files: Sequence[SourceFile]) -> Figures:
    counts = [d.lines for file in files for d in file.functions] or [0]
    counts.sort()
    return {
        "files": len(files),
        "lines": sum(file.lines for file in files),
        f"files under {SMALL} lines": sum(file.lines < SMALL for file in files),
        f"files over {LARGE} lines": sum(file.lines > LARGE for file in files),
        "functions": len(counts),
        "function lines, median": statistics.median(counts),
        "function lines, p95": counts[int(0.95 * len(counts))],
        f"functions over {LONG} lines": sum(count > LONG for count in counts),
    }


def names(files: Sequence[SourceFile]) -> Figures:
    return {
        "file names that recur": len(module_names(files)),
        "class names that recur": len(class_names(files)),
        "arguments annotated, %": round(100 * annotated(files), 1),
    }


def annotated(files: Sequence[SourceFile]) -> float:
    """The share of functions' arguments that have a type, ``self`` and ``cls`` left out."""
    wanted, typed = 0, 0
    for definition in (d for file in files for d in file.functions):
        assert isinstance(definition.node, Function)
        args = definition.node.args
        named = set(prose.parameters(definition))
        every = (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg)
        counted = [a for a in every if a is not None and a.arg in named]
        wanted += len(counted)
        typed += sum(a.annotation is not None for a in counted)
    return typed / wanted if wanted else 1.0


def prose_figures(files: Sequence[SourceFile]) -> Figures:
    texts = [text for file in files for _, text in prose.docstrings(file)]
    fields = [text for file in files for text in prose.field_docstrings(file)]
    return {
        "docstrings": len(texts),
        "docstring words": sum(len(prose.words(t)) for t in texts),
        "what-words per 1,000": _per_thousand(texts),
        "what-words per 1,000, of fields": _per_thousand(fields),
        "docstrings begun with a riddle": sum(map(prose.begins_with_a_riddle, texts)),
        "public names without a docstring": sum(len(prose.without_docstring(file)) for file in files),
        "public functions without an example": sum(len(prose.without_example(file)) for file in files),
    }


def _per_thousand(texts: Sequence[str]) -> float:
    total = sum(len(prose.words(t)) for t in texts)
    return round(1000 * sum(map(prose.what_words, texts)) / total, 1) if total else 0.0


def imports(files: Sequence[SourceFile]) -> Figures:
    return _of_graph(import_graph(files), "modules", "import")


def _of_graph(graph: Graph, nodes: str, kind: str) -> Figures:
    found = cycles(graph)
    return {
        nodes: len(graph),
        f"{kind} edges": edges(graph),
        f"{kind} levels": levels(graph),
        f"{kind} cycles": len(found),
    }


def engine(checkout: Checkout) -> Figures:
    """``engine/`` seen as its first floor: each folder and each loose module is one package."""
    files = checkout.packages["kvproxy"]
    graph = import_graph(files)
    inner = {name: others for name, others in graph.items() if name.startswith("kvproxy.engine.")}
    known = {name: others & inner.keys() for name, others in inner.items()}
    packages = grouped(graph, "kvproxy.engine")
    source = sum(file.lines for file in files if file.dotted.startswith("kvproxy.engine"))
    tests = sum(file.lines for file in checkout.files("tests/engine"))
    return {
        **{f"engine, {key}": value for key, value in _of_graph(known, "modules", "module").items()},
        **{f"engine, {key}": value for key, value in _of_graph(packages, "packages", "package").items()},
        "engine, tests/source": round(tests / source, 2),
    }


def ratio(checkout: Checkout) -> float:
    """Lines of tests for a line of source: kvproxy and the integrations."""
    source = sum(file.lines for files in checkout.packages.values() for file in files)
    return round(sum(file.lines for file in checkout.tests) / source, 2)


def static_figures(checkout: Checkout) -> dict[str, Figures]:
    """By package, then ``whole``: every figure that needs no running code.

    Example: ``static_figures(Checkout(Path(".")))["kvproxy"]["files"]``
    """
    found: dict[str, Figures] = {}
    for package, files in checkout.packages.items():
        found[package] = {**sizes(files), **names(files), **prose_figures(files), **imports(files)}
    found["kvproxy"].update(engine(checkout))
    found["whole"] = {"tests/source": ratio(checkout), "test files": len(checkout.tests)}
    return found

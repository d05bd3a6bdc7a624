"""The graph of imports between modules: edges, levels, cycles. Lazy imports and those for type checkers count."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from .checkout import SourceFile

Graph = dict[str, set[str]]


def imported(file: SourceFile) -> Iterator[str]:
    """Every full name that an import may bind: ``from a import b`` yields ``a`` and ``a.b``; relative ones in full."""
    for node in file.statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(file, node.module or "", node.level)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _absolute(file: SourceFile, module: str, level: int) -> str:
    """The full name of ``from ..module import x``: ``level`` counts the dots."""
    if level == 0:
        return module
    above = file.dotted.split(".")
    base = above[: len(above) - level + file.is_package]
    return ".".join([*base, *([module] if module else [])])


def import_graph(files: Iterable[SourceFile]) -> Graph:
    """By module: the modules among ``files`` that it imports. ``from package import module`` is one of the module."""
    known = {file.dotted: file for file in files}
    graph: Graph = {}
    for name, file in known.items():
        found = {other for other in imported(file) if other in known and other != name}
        submodules = {other.rpartition(".")[0] for other in found}
        plain = {other for other in found if not (known[other].is_package and other in submodules)}
        graph[name] = plain
    return graph


def grouped(graph: Mapping[str, set[str]], under: str) -> Graph:
    """The modules below ``under`` by the first part of the name behind it: folders and loose modules are one node each.

    Example: ``grouped(graph, "kvproxy.engine")`` has the node ``forward`` for ``kvproxy.engine.forward.tile_model``.
    """

    def group(name: str) -> str:
        return (
            name.removeprefix(under).removeprefix(".").split(".")[0] if name.startswith(f"{under}.") else ""
        )

    result: Graph = {group(name): set() for name in graph if group(name)}
    for name, others in graph.items():
        if mine := group(name):
            result[mine] |= {group(other) for other in others} - {mine, ""}
    return result


def edges(graph: Mapping[str, set[str]]) -> int:
    return sum(map(len, graph.values()))


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other."""
    reach = {name: _reach(graph, name) for name in graph}
    groups = {
        tuple(sorted(o for o in reach[name] if name in reach[o])) for name in graph if name in reach[name]
    }
    return sorted(map(list, groups))


def _reach(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    stack = list(graph[start])
    while stack:
        at = stack.pop()
        if at not in seen:
            seen.add(at)
            stack += graph.get(at, ())
    return seen


def levels(graph: Mapping[str, set[str]]) -> int:
    """Nodes on the longest path; the nodes of a cycle count as one."""
    heads = {name: group[0] for group in cycles(graph) for name in group}
    merged: Graph = {heads.get(name, name): set() for name in graph}
    for name, others in graph.items():
        mine = heads.get(name, name)
        merged[mine] |= {heads.get(other, other) for other in others} - {mine}
    depth: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((of(other) for other in merged.get(name, ())), default=0)
        return depth[name]

    return max(map(of, merged), default=0)

"""The table of modules and the tests that cover them: ``kvproxy/a/b.py`` by ``tests/a/test_b.py``, or by another one
that imports it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .checkout import Checkout, SourceFile
from .import_graph import Graph, imported

MIRRORED = 60
"""A module of more lines has a test of its own name."""

NEAR = 4
"""A test covers a module that it reaches by at most so many imports; by any number where it has the module's name, or
is in the folder of its tests."""

NONE = "none"
"""Stands in the table for a module that no test covers yet."""


def mirror_of(module: SourceFile) -> Path:
    """Return the path of a module's own test. Example: ``mirror_of(disk)`` is ``tests/store/test_disk.py``"""
    folders = module.path.parts[1:-1]
    return Path("tests", *folders, f"test_{module.path.stem}.py")


def unmirrored(checkout: Checkout) -> list[SourceFile]:
    """The larger modules of the proxy that have no test of their name in the same folder.

    Revisions of the schema are left out: tests/database/test_migrate.py applies every one, and compares the result.
    """
    modules = [f for f in checkout.packages["kvproxy"] if f.path.parent.name != "versions"]
    large = [f for f in modules if f.lines > MIRRORED and not f.is_package]
    return [f for f in large if not (checkout.root / mirror_of(f)).exists()]


class Coverage:
    """The imports of each test file: its own, those of the helpers that it uses, and of the modules behind both.

    Tests of this folder are left out: they only read source.

    Example: ``Coverage(checkout).distance("tests/store/test_disk.py", "kvproxy.store.disk")`` is 1
    """

    def __init__(self, checkout: Checkout) -> None:
        self._modules = {file.dotted: file for file in checkout.packages["kvproxy"]}
        helpers = {file.dotted: file for file in checkout.files("tests", skip=("house",))}
        self._files = {**self._modules, **helpers}
        self._imports: Graph = {name: self._known(file) for name, file in self._files.items()}
        for name, file in helpers.items():
            self._imports[name] |= {
                conftest for conftest in _conftests(name) if conftest in helpers and conftest != name
            }
            self._imports[name] |= self._named(file)
        self.tests = [file for file in helpers.values() if file.path.name.startswith("test_")]
        self._distances: dict[str, dict[str, int]] = {}

    def distance(self, test: str, module: str) -> int | None:
        """The number of imports from a test file (its path) to a module, or None where none leads there."""
        if test not in self._distances:
            self._distances[test] = self._walk(Path(test).with_suffix("").as_posix().replace("/", "."))
        return self._distances[test].get(module)

    def covers(self, test: Path, module: SourceFile) -> bool:
        """Whether the table may name ``test`` for ``module``."""
        distance, mirror = self.distance(str(test), module.dotted), mirror_of(module)
        return distance is not None and (
            distance <= NEAR or test.parent == mirror.parent or test.name == mirror.name
        )

    def best(self, module: SourceFile) -> Path | None:
        """The test in the folder of its tests, then anywhere, that imports the module and uses most of its names; where
        none imports it, the nearest one by imports, in the same order."""
        mirror = mirror_of(module)

        def rank(test: SourceFile, distance: int) -> tuple[bool, bool, int, int, int]:
            elsewhere = test.path.parent != mirror.parent
            return (
                distance > 1,
                elsewhere,
                distance,
                -self._uses(test, module),
                -_common_words(test.path, mirror),
            )

        ranked = [
            (rank(test, self.distance(test.name, module.dotted) or 0), test.name)
            for test in self.tests
            if self.covers(test.path, module)
        ]
        return Path(min(ranked)[1]) if ranked else None

    def _walk(self, start: str) -> dict[str, int]:
        found, front, steps = {start: 0}, [start], 0
        while front:
            steps += 1
            front = sorted({o for name in front for o in self._imports.get(name, ()) if o not in found})
            found.update(dict.fromkeys(front, steps))
        return found

    def _known(self, file: SourceFile) -> set[str]:
        return {name for name in imported(file) if name in self._files and name != file.dotted}

    def _named(self, file: SourceFile) -> set[str]:
        """Return the modules that a test names, as in ``python -m kvproxy.bench.server_process``."""
        return set(re.findall(r"\bkvproxy(?:\.\w+)+", file.text)) & self._modules.keys()

    def _uses(self, test: SourceFile, module: SourceFile) -> int:
        """Count the uses of the module's public names in a test."""
        own = [d.node.name for d in module.definitions if d.public and "." not in d.name]
        return sum(len(re.findall(rf"\b{name}\b", test.text)) for name in own)


def _conftests(name: str) -> Iterator[str]:
    """The ``conftest`` modules that pytest loads for a test."""
    parts = name.split(".")[:-1]
    for end in range(1, len(parts) + 1):
        yield ".".join([*parts[:end], "conftest"])


def _common_words(one: Path, other: Path) -> int:
    """Words that two names have in common."""
    words = [set(p.stem.removeprefix("test_").split("_")) for p in (one, other)]
    return len(words[0] & words[1])


def mirror_table(checkout: Checkout) -> dict[str, str]:
    """By path of a module without a test of its name: the test that covers it."""
    coverage = Coverage(checkout)
    found = {module.name: coverage.best(module) for module in unmirrored(checkout)}
    return {name: str(test) if test is not None else NONE for name, test in found.items()}


def mirror_faults(checkout: Checkout, table: Mapping[str, str]) -> Iterable[str]:
    """A sentence for each large module without a test, and for each line of the table that is wrong."""
    coverage = Coverage(checkout)
    needed = {module.name: module for module in unmirrored(checkout)}
    for name in needed.keys() - table.keys():
        yield f"{name} has over {MIRRORED} lines and no {mirror_of(needed[name])}: write it"
    for name, test in table.items():
        if name not in needed:
            yield f"{name} needs no entry any more: write the table anew"
        elif test != NONE and not (checkout.root / test).is_file():
            yield f"{name}: {test} does not exist; name the test that covers the module"
        elif test != NONE and not coverage.covers(Path(test), needed[name]):
            yield f"{name}: {test} does not import it; name the test that covers the module"

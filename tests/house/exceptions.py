"""Today's exceptions from the checks, in ``known/*.json``. A table may only shrink.

Where files have moved or a table's entries are gone, write it anew and look at the difference before it is committed:
``python -m tests.house.measure_house --write-tables sizes``. No new entry belongs into it but a moved one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from . import prose
from .checkout import Checkout, SourceFile
from .measures import LARGE, LONG, PLAIN_NAMES, class_names, module_names
from .mirror import mirror_table

KNOWN = Path(__file__).parent / "known"

TEST_LARGE = 400
"""Lines of a test module. A test's functions have the source's limit."""

MODULE_NAMES = PLAIN_NAMES | {"base", "errors", "types", "app"}
"""Names of modules that say what they are in every package."""


_OWN_ERROR = "each package ships its own base error: none of them depends on the proxy's code"

_OTHER_DISTRIBUTION = "a distribution of its own, which imports nothing of the proxy's"

ALLOWED = {
    "integrations/langchain class Comparison": _OTHER_DISTRIBUTION,
    "integrations/langchain class Explanation": _OTHER_DISTRIBUTION,
    "integrations/langchain class Finding": _OTHER_DISTRIBUTION,
    "integrations/langchain class Job": _OTHER_DISTRIBUTION,
    "integrations/langchain class KnownDocument": _OTHER_DISTRIBUTION,
    "integrations/llama-index class Published": _OTHER_DISTRIBUTION,
    "integrations/langchain class KVProxyError": _OWN_ERROR,
    "integrations/llama-index class KVProxyError": _OWN_ERROR,
    "integrations/openai-agents class KVProxyError": _OWN_ERROR,
    "integrations/pydantic-ai class KVProxyError": _OWN_ERROR,
}
"""Repeated classes that stay, each with its reason."""


def sizes(checkout: Checkout) -> dict[str, int]:
    """Count the lines of each module (``path``), and of each function (``path:name``) without its docstring, over the
    limit."""
    found: dict[str, int] = {}
    source = [file for files in checkout.packages.values() for file in files]
    for file, most in [*((f, LARGE) for f in source), *((f, TEST_LARGE) for f in checkout.tests)]:
        if file.lines > most:
            found[file.name] = file.lines
        found.update({f"{file.name}:{d.name}": d.code_lines for d in file.functions if d.code_lines > LONG})
    return found


def names(checkout: Checkout, allowed: Mapping[str, str] = ALLOWED) -> dict[str, int]:
    """Count the places of each repeated name: ``module NAME`` and ``class NAME`` within the proxy, and
    ``integrations/PACKAGE class NAME`` for a class of the proxy that a package has too."""
    proxy = checkout.packages["kvproxy"]
    modules = {n: count for n, count in module_names(proxy).items() if n not in MODULE_NAMES}
    found = {f"module {name}": count for name, count in modules.items()}
    found |= {f"class {name}": count for name, count in class_names(proxy).items()}
    own = _classes(proxy)
    for package, files in checkout.packages.items():
        if package != "kvproxy":
            shared = sorted(own & _classes(files))
            found |= {f"{package} class {name}": 2 for name in shared}
    return {name: count for name, count in found.items() if name not in allowed}


def _classes(files: Iterable[SourceFile]) -> set[str]:
    return {d.node.name for file in files for d in file.classes}


def docstrings(checkout: Checkout) -> dict[str, int]:
    """Count the faults of each package by kind."""
    found = Counter(f"{kind} {area(n)}" for kind, names in docstring_faults(checkout).items() for n in names)
    return dict(sorted(found.items()))


def docstring_faults(checkout: Checkout) -> dict[str, list[str]]:
    """By kind: the names (``path:name``) of what has no docstring, begins with a riddle, or shows no call."""
    files = [file for package in checkout.packages.values() for file in package]
    riddles = [
        f"{file.name}:{name}".removesuffix(":")
        for file in files
        for name, text in prose.docstrings(file)
        if prose.begins_with_a_riddle(text)
    ]
    contracts = prose.Contracts(files)
    return {
        "no docstring": [name for file in files for name in prose.without_docstring(file, contracts)],
        "riddle": riddles,
        "no example": [name for file in files for name in prose.without_example(file, contracts)],
    }


def area(name: str) -> str:
    """The package of a path, to its first folder: ``kvproxy/wire``, ``kvproxy`` for a loose module."""
    parts = Path(name.partition(":")[0]).parts
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


TABLES: dict[str, Callable[[Checkout], Mapping[str, Any]]] = {
    "sizes": sizes,
    "names": names,
    "docstrings": docstrings,
    "mirrors": mirror_table,
}


def read_table(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((KNOWN / f"{name}.json").read_text(encoding="utf-8"))
    return table


def write_table(name: str, checkout: Checkout) -> str:
    """Write a table anew; a sentence that says what came and what went."""
    path = KNOWN / f"{name}.json"
    old = read_table(name) if path.exists() else {}
    new = dict(sorted(TABLES[name](checkout).items()))
    if name == "mirrors":
        new = {key: _kept(old.get(key), value, checkout) for key, value in new.items()}
    path.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
    came, went = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    return f"{name}: {len(new)} entries; new: {', '.join(came) or 'none'}; gone: {', '.join(went) or 'none'}"


def _kept(old: str | None, new: str, checkout: Checkout) -> str:
    """The test that a person has chosen stays while it exists."""
    return old if old and (checkout.root / old).is_file() else new


def faults_of_counts(
    found: Mapping[str, int], known: Mapping[str, int], table: str, advice: str
) -> list[str]:
    """A sentence for each entry that is new, has grown, or is not needed any more.

    Example: ``faults_of_counts(sizes(checkout), read_table("sizes"), "sizes", "split it") == []``
    """
    again = f"take it out of tests/house/known/{table}.json (--write-tables {table})"
    new = [f"{k}: {v}; {advice}" for k, v in found.items() if k not in known]
    grown = [f"{k}: {v}, was {known[k]}; {advice}" for k, v in found.items() if v > known.get(k, v)]
    stale = [f"{k} is no exception any more: {again}" for k in known if k not in found]
    return [*new, *grown, *stale]

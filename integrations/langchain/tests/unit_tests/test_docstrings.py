"""The examples in the docstrings are run, each docstring's in one go."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import langchain_kvproxy

from .fake_chat import running

FENCED = re.compile(r"^([ \t]*)```python\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
DIRECTIVE = re.compile(
    r"^([ \t]*)\.\. code-block:: python\n\s*\n((?:\1[ \t]+\S.*\n?|[ \t]*\n)+)", re.MULTILINE
)
HANDBOOK = "Every employee has thirty days of leave a year"


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(langchain_kvproxy.__path__):
        yield importlib.import_module(f"langchain_kvproxy.{found.name}")


def docstrings() -> dict[str, str]:
    """Of everything that is defined here, methods too, by where it stands."""
    found: dict[str, str] = {}
    for module in modules():
        tree = ast.parse(inspect.getsource(module))
        for node in [tree, *ast.walk(tree)]:
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = getattr(node, "name", "")
                found[f"{module.__name__}:{name}"] = ast.get_docstring(node) or ""
    return found


def snippet(docstring: str) -> str:
    blocks = [
        (m.start(), m[2]) for pattern in (FENCED, DIRECTIVE) for m in pattern.finditer(docstring + "\n")
    ]
    return "\n".join(textwrap.dedent(block) for _, block in sorted(blocks))


SNIPPETS = {name: code for name, text in docstrings().items() if (code := snippet(text))}


def test_every_kind_of_example_is_found() -> None:
    assert {"langchain_kvproxy.chat_models:ChatKVProxy", "langchain_kvproxy._client:KVProxyClient"} <= set(
        SNIPPETS
    )
    marks = sum(text.count("```python") + text.count("code-block:: python") for text in docstrings().values())
    found = sum(
        len(FENCED.findall(text + "\n")) + len(DIRECTIVE.findall(text + "\n"))
        for text in docstrings().values()
    )
    assert found == marks


@pytest.mark.parametrize("name", SNIPPETS)
def test_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as fake:
        fake.documents.add("handbook", HANDBOOK)
        monkeypatch.setenv("KVPROXY_BASE_URL", fake.url)
        monkeypatch.setenv("KVPROXY_API_KEY", "none")
        # Addresses in examples are where a proxy usually is.
        code = SNIPPETS[name].replace("http://127.0.0.1:8321", fake.url)
        compiled = compile(code, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        values: dict[str, Any] = {"__name__": "example"}
        pending = eval(compiled, values)
        if inspect.iscoroutine(pending):
            asyncio.run(pending)

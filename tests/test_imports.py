"""Imports point one way; heavy libraries stay in their quarter. Read from the source: nothing is imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "kvproxy"

SHARED = {"answer_format", "core", "events", "errors", "garbage_collection", "off_loop", "timings", "__init__"}
"""May be imported by all."""

ARROWS: dict[str, set[str]] = {
    "answer_format": set(),
    "core": set(),
    "events": {"core"},
    "errors": {"core"},
    "garbage_collection": set(),
    "off_loop": set(),
    "config": {"errors"},
    "ledger": set(),
    "telemetry": set(),
    "store": {"store.sqlite_pages", "store.sqlite_read_only", "store.sqlite_rows"},
    "store.sqlite_pages": set(),
    "store.sqlite_read_only": set(),
    "store.sqlite_rows": {"store.sqlite_pages"},
    "documents": {"store.sqlite_pages", "store.sqlite_read_only", "store.sqlite_rows"},
    "wire": {"documents"},  # documents/info.py and parsed references: values only
    "engine": {"store", "backends.base"},
    "backends.base": set(),
    "backends": {"engine", "wire", "backends.base"},
    "quarantine": {"documents", "backends.base"},
    "pinning": {"documents", "backends.base"},
    "document_views": {"documents", "backends.base"},
    "publishing": {"documents", "backends.base", "pinning"},
    "publish": {
        *("documents", "backends.base", "ledger", "quarantine", "pinning", "document_views", "publishing"),
    },
    "pipeline": {"documents", "backends.base", "ledger", "wire", "telemetry"},
    "server": {"pipeline", "publish", "wire", "documents", "backends.base", "telemetry"},
}
"""Who may import whom. What is not named here is a composition root or a command, and may import all."""

HEAVY: dict[str, set[str]] = {
    "torch": {"engine", "store"},
    "transformers": {"engine"},
    "safetensors": {"engine", "store"},
    "gguf": {"engine"},
    "triton": {"engine.cuda"},
    "llguidance": {"engine"},
    "litellm": {"backends.litellm", "backends.litellm_module"},
    "aiohttp": {"server", "backends.passthrough", "backends.small_reads", "bench"},
    "typer": {"cli", "options", "bench.commands"},
    "diskcache": {"store"},
    "prometheus_client": {"telemetry"},
    "matplotlib": {"bench.plot"},
    "mcp": {"mcp_server"},
    "starlette": {"mcp_server"},
    "uvicorn": {"mcp_server"},
}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def dotted(path: Path) -> str:
    """``kvproxy/store/disk.py`` -> ``store.disk``"""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module's full name, lazy imports and those for type checkers included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports out in full"
            assert node.module is not None
            for alias in node.names:
                # `from kvproxy import core` names a module by its alias.
                yield (f"kvproxy.{alias.name}" if node.module == "kvproxy" else node.module), node.lineno


def layer(name: str) -> str:
    return name if name in ARROWS else name.split(".")[0]


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_point_one_way(path: Path) -> None:
    mine = layer(dotted(path))
    wrong = []
    for name, line in imports(path):
        if name.split(".")[0] != "kvproxy":
            continue
        other = layer(name.removeprefix("kvproxy").removeprefix(".") or "__init__")
        if mine not in ARROWS or other == mine or other in SHARED or name == "kvproxy.__version__":
            continue
        if other not in ARROWS[mine]:
            wrong.append(f"{path.name}:{line} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_heavy_libraries_stay_in_their_quarter(path: Path) -> None:
    mine = dotted(path)
    wrong = [
        f"{path.name}:{line} imports {name}"
        for name, line in imports(path)
        if (allowed := HEAVY.get(name.split(".")[0])) is not None
        and not any(mine == quarter or mine.startswith(f"{quarter}.") for quarter in allowed)
    ]
    assert wrong == []


def arrows_of_the_code() -> dict[str, set[str]]:
    """By layer: the layers that its modules import. What is named in no row of ARROWS is a layer of its own."""
    found: dict[str, set[str]] = {}
    for path in modules():
        mine = layer(dotted(path) or "__init__")
        for name, _ in imports(path):
            if name.split(".")[0] == "kvproxy" and name != "kvproxy.__version__":
                other = layer(name.removeprefix("kvproxy").removeprefix(".") or "__init__")
                found.setdefault(mine, set()).update({other} - {mine})
    return found


def test_there_are_no_cycles_between_layers() -> None:
    arrows = arrows_of_the_code()

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        stack = list(arrows.get(start, ()))
        while stack:
            at = stack.pop()
            if at not in seen:
                seen.add(at)
                stack += arrows.get(at, ())
        return seen

    assert len(arrows) > 20 and "core" in reach("server")
    assert [name for name in arrows if name in reach(name)] == []


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_server_loads_no_heavy_library() -> None:
    loaded = loaded_by(
        "import importlib, pkgutil, kvproxy.server as s\n"
        "for m in pkgutil.walk_packages(s.__path__, s.__name__ + '.'): importlib.import_module(m.name)"
    )
    assert loaded & {"torch", "transformers", "litellm"} == set()
    assert "kvproxy" in loaded


def test_the_command_line_starts_light() -> None:
    assert (
        loaded_by("import kvproxy.cli") & {"torch", "transformers", "litellm", "pydantic", "aiohttp"} == set()
    )

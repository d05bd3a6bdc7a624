"""Imports point one way; heavy libraries stay in their quarter. Read from the source: nothing is imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "kvproxy"

SHARED = {"core", "errors", "events", "runtime"}
"""May be imported by all."""

ALLOWED: dict[str, set[str]] = {
    "": {"client"},
    "example_documents": set(),
    "__main__": {"cli"},
    "core": set(),
    "events": set(),
    "errors": set(),
    "runtime": set(),
    "config": {"settings"},
    "settings": {"sealing", "tariffs"},
    "client": set(),
    "agents": set(),
    "terminal": {"economics", "tariffs"},
    "codecs": {"codecs.page_codec", "engine.native"},
    "codecs.page_codec": set(),
    "store": {"codecs.page_codec", "store.sqlite"},
    "store.sqlite": set(),
    "database": set(),
    "tariffs": {"database"},
    "economics": {"tariffs"},
    "receipts": {"database", "ledger"},
    "accounts": {"database"},
    "payments": {"database", "ledger"},
    "catalog": {
        *("accounts", "charging", "database", "documents", "generations", "served_model"),
        *("tariffs", "wire"),
    },
    "documents": {"database", "store.sqlite"},
    "dashboard": {
        *("accounts", "catalog", "documents", "example_documents", "ledger", "receipts", "telemetry"),
        *("upkeep", "wire"),
    },
    "wire": {"accounts", "documents", "ledger"},
    "granting": {"accounts", "documents", "tariffs"},
    "telemetry": {"database"},
    "engine.models": {"engine.quantised"},
    "engine.quantised": set(),
    "engine.decode": set(),
    "engine.cache": {"store"},
    "engine.tiling": {"engine.cache"},
    "engine.native": {"engine.cache", "engine.quantised", "engine.tiling"},
    "engine.forward": {
        *("engine.cache", "engine.models", "engine.native", "engine.quantised"),
        "engine.tiling",
    },
    "engine.loop": {"backends.base", "engine.cache", "engine.decode", "engine.forward", "engine.tiling"},
    "engine.bitwise": {"engine.cache", "engine.loop"},
    "engine.build": {"engine.cache", "engine.decode", "engine.forward", "engine.loop"},
    "engine": set(),
    "backends": set(),
    "backends.base": set(),
    "backends.embedded": {
        *("backends.base", "engine.bitwise", "engine.cache", "engine.decode", "engine.loop"),
    },
    "backends.raw": {"backends.base"},
    "backends.fleet": {
        *("backends.base", "documents", "engine.decode", "engine.loop", "residency", "routing"),
        *("settings", "wire"),
    },
    "backends.litellm": {"backends.base", "backends.raw"},
    "backends.fake": {"backends.base", "engine.loop", "wire"},
    "fake_replica": {"backends.fake", "documents"},
    "residency": set(),
    "ledger": {"database"},
    "publishing": {"backends.base", "charging", "database", "documents"},
    "lifecycle": {"backends.base", "documents", "publishing"},
    "charging": {"database", "ledger", "payments", "tariffs"},
    "generations": {"backends.base", "telemetry"},
    "served_model": {"backends.base", "documents"},
    "generation_start": {"backends.base", "documents", "generations", "served_model", "telemetry"},
    "pipeline": {
        *("backends.base", "charging", "documents", "explain", "generation_start"),
        *("generations", "reply", "served_model", "telemetry", "wire"),
    },
    "exactness": {"backends.base", "backends.embedded", "documents", "explain", "pipeline", "publishing"},
    "publish": {
        *("backends.base", "charging", "documents", "exactness", "lifecycle", "manifests"),
        "publishing",
    },
    "server": {
        *("accounts", "backends.base", "catalog", "charging", "document_files", "documents"),
        *("example_documents", "exactness", "explain", "granting", "learning", "ledger", "lifecycle"),
        *("manifests", "payments", "pipeline", "publish", "publishing", "receipts", "reply", "served_model"),
        *("accounts", "backends.base", "catalog", "charging", "dashboard", "document_files"),
        *("documents", "exactness", "explain", "granting", "learning", "ledger", "lifecycle", "manifests"),
        *("payments", "pipeline", "publish", "publishing", "receipts", "reply", "served_model"),
        *("store", "tariffs", "telemetry", "upkeep", "wire"),
    },
    "mcp_server": {"client"},
    "stack": {
        *("accounts", "backends.base", "backends.embedded", "backends.fleet"),
        *("backends.litellm", "backends.raw", "catalog", "charging", "codecs"),
        *("codecs.page_codec", "config", "database", "document_files", "documents", "engine"),
        *("engine.decode", "engine.forward", "engine.loop", "engine.models", "exactness"),
        *("explain", "granting", "learning", "ledger", "manifests", "objects", "payments"),
        *("pipeline", "publish", "publishing", "receipts", "sealing", "served_model"),
        *("settings", "shared_responses", "store", "tariffs", "telemetry", "tiers", "upkeep"),
        "wire",
    },
    "serve": {"config", "server", "stack", "telemetry", "wire"},
    "bench": {
        *("accounts", "backends.fake", "client", "codecs", "config", "database", "documents"),
        *("economics", "engine.bitwise", "engine.build", "engine.cache", "engine.decode"),
        *("engine.forward", "engine.loop", "engine.models", "engine.native", "engine.tiling"),
        *("exactness", "explain", "ledger", "objects", "pipeline", "publish", "residency"),
        *("routing", "sealing", "serve", "served_model", "server", "stack", "store"),
        *("telemetry", "terminal", "tiers", "wire"),
    },
    "cli": {
        *("accounts", "agents", "bench", "charging", "client", "config", "database"),
        *("document_files", "documents", "economics", "engine.forward", "engine.models"),
        *("engine.native", "example_documents", "ledger", "manifests", "mcp_server", "receipts", "serve"),
        *("settings", "stack", "store", "tariffs", "terminal", "upkeep", "wire"),
    },
    "document_files": {
        *("backends.base", "documents", "engine.cache", "manifests", "publish", "publishing"),
        *("receipts", "store"),
    },
    "explain": {"documents", "telemetry"},
    "learning": {"documents", "publish", "publishing"},
    "manifests": {"documents", "objects", "publishing", "receipts", "store"},
    "objects": {"store"},
    "reply": {"charging", "documents", "telemetry"},
    "routing": set(),
    "sealing": set(),
    "shared_responses": {"database", "store"},
    "tiers": {"objects", "store"},
    "upkeep": {"database", "documents", "manifests", "objects", "receipts", "store", "store.sqlite"},
}
"""The packages that each package may import, besides SHARED and itself. A name with a dot is a package in its own
right. Every package has a row, and every entry is used: see the tests below."""

WITHIN: dict[str, dict[str, set[str]]] = {
    "documents": {
        "library": set(),
        "matching": set(),
        "prepared": {"library", "prompts"},
        "prompts": {"library", "tokens"},
        "registry": {"library"},
        "tokens": {"library"},
    },
    "server": {
        "answers": {"components", "middleware", "requests", "shutdown"},
        "app": {"auth", "components", "dashboard", "middleware", "openapi", "requests"},
        "auth": set(),
        "components": {"auth", "market", "shutdown"},
        "dashboard": {"answers", "auth", "components", "market", "middleware", "requests", "routes"},
        "market": set(),
        "middleware": {"auth", "components", "shutdown"},
        "openapi": {"middleware", "requests", "routes"},
        "requests": {"auth", "components", "market", "middleware"},
        "routes": {"answers", "auth", "components", "middleware", "requests", "shutdown"},
        "run": {"middleware", "shutdown"},
        "shutdown": set(),
    },
    "wire": {
        "answer_formats": {"bodies", "schemas"},
        "answers": {"bodies", "tool_formats"},
        "anthropic": {
            *("answer_formats", "answers", "bodies", "fields", "history", "kv_documents"),
            *("openings", "tool_formats", "tools"),
        },
        "bodies": set(),
        "chat": {
            *("answer_formats", "answers", "bodies", "fields", "history", "kv_documents"),
            *("openings", "tools"),
        },
        "completions": {"answer_formats", "answers", "bodies", "chat", "fields"},
        "explanations": {"bodies", "kv_documents"},
        "fields": {"answer_formats", "bodies", "tools"},
        "history": {"bodies"},
        "kv_accounts": {"kv_documents", "market"},
        "kv_documents": {"market", "service"},
        "market": {"bodies"},
        "openings": {"bodies"},
        "responses": {
            *("answer_formats", "answers", "bodies", "chat", "fields", "history", "kv_documents"),
            *("openings", "schemas", "tool_formats", "tools"),
        },
        "schemas": {"bodies"},
        "service": {"bodies", "market"},
        "tokenize_bodies": {"bodies", "chat", "tools"},
        "tool_formats": set(),
        "tools": {"bodies", "tool_formats"},
        "upstream_events": {"answers", "anthropic"},
        "upstream_usage": {"upstream_events"},
    },
}
"""The packages and loose modules inside of a large package, and which of the others each may import."""

HEAVY: dict[str, set[str]] = {
    "torch": {"engine", "bench.engine"},
    "transformers": {"engine", "bench.engine"},
    "safetensors": {"engine"},
    "gguf": {"engine.models", "engine.quantised"},
    "triton": {"engine.forward.cuda"},
    "cbor2": {"bench", "fake_replica"},
    "zmq": {"fake_replica", "residency.event_feed", "residency.feed_sockets"},
    "llguidance": {"engine.decode", "fake_replica"},
    "litellm": {"backends.litellm"},
    "aiohttp": {"server", "backends.fleet", "backends.raw", "bench", "fake_replica"},
    "typer": {"cli"},
    "diskcache": {"store"},
    "openzl": {"bench.codec_baselines"},
    "obstore": {"objects"},
    "prometheus_client": {"telemetry"},
    "joserfc": {"receipts"},
    "matplotlib": {
        *("bench.plot", "bench.plot_economics", "bench.fleet_simulation.plot_fleet_simulation"),
    },
    "mcp": {"mcp_server"},
    "starlette": {"mcp_server"},
    "uvicorn": {"mcp_server"},
    "mpp": {"client.evm_payer", "payments"},
    "x402": {"client.evm_payer", "payments"},
    "eth_account": {"client.evm_payer"},
}
"""The only places where a library may be imported."""


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def dotted(path: Path) -> str:
    """``kvproxy/store/disk.py`` -> ``store.disk``, and the package itself -> an empty name."""
    return (
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        .removesuffix(".__init__")
        .removesuffix("__init__")
    )


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


def package(name: str) -> str:
    """The row of ALLOWED that a module belongs to: the longest of its name's beginnings that has one."""
    parts = name.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((one for one in names if one in ALLOWED), parts[0])


@cache
def measured() -> dict[str, dict[str, list[str]]]:
    """By package: the packages that it imports, each with the lines that do."""
    found: dict[str, dict[str, list[str]]] = {}
    for path in modules():
        mine = package(dotted(path))
        arrows = found.setdefault(mine, {})
        for name, line in imports(path):
            if name.split(".")[0] != "kvproxy" or name == "kvproxy.__version__":
                continue
            other = package(name.removeprefix("kvproxy").removeprefix("."))
            if other != mine:
                arrows.setdefault(other, []).append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    return found


def test_every_package_has_a_row_and_every_row_a_package() -> None:
    assert sorted(measured()) == sorted(ALLOWED)


@pytest.mark.parametrize("name", ALLOWED)
def test_imports_point_one_way(name: str) -> None:
    allowed = ALLOWED[name] | SHARED
    wrong = [line for other, lines in measured()[name].items() if other not in allowed for line in lines]
    assert wrong == []


@pytest.mark.parametrize("name", ALLOWED)
def test_no_row_allows_what_is_not_used(name: str) -> None:
    assert ALLOWED[name] - set(measured()[name]) == set()


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


@cache
def measured_within(top: str) -> dict[str, set[str]]:
    """Imports between the packages and loose modules of one package."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / top).rglob("*.py")):
        mine = dotted(path).removeprefix(top).removeprefix(".").split(".")[0]
        for name, _ in imports(path):
            other = name.removeprefix(f"kvproxy.{top}.").split(".")[0]
            if mine and name.startswith(f"kvproxy.{top}."):
                found.setdefault(mine, set()).add(other)
        found.setdefault(mine, set()).discard(mine)
    return {name: others for name, others in found.items() if name}


@pytest.mark.parametrize("top", WITHIN)
def test_imports_within_a_large_package(top: str) -> None:
    assert measured_within(top) == WITHIN[top]


def in_cycles(arrows: dict[str, set[str]]) -> list[str]:
    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        stack = list(arrows.get(start, ()))
        while stack:
            at = stack.pop()
            if at not in seen:
                seen.add(at)
                stack += arrows.get(at, ())
        return seen

    return [name for name in arrows if name in reach(name)]


def test_there_are_no_cycles_between_packages() -> None:
    arrows = {name: set(others) for name, others in measured().items()}
    assert len(arrows) > 20 and "core" in arrows["server"]
    assert in_cycles(arrows) == []
    assert {top: in_cycles(measured_within(top)) for top in WITHIN} == {top: [] for top in WITHIN}


def test_a_cycle_is_found() -> None:
    assert in_cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


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
        loaded_by("import kvproxy.cli.app") & {"torch", "transformers", "litellm", "pydantic", "aiohttp"}
        == set()
    )


def test_a_fleet_needs_neither_torch_nor_litellm() -> None:
    assert (
        loaded_by("import kvproxy.backends.fleet.open_fleet") & {"torch", "transformers", "litellm"} == set()
    )
